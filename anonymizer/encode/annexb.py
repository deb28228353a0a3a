"""Finds the parameter sets in H.264 byte streams (ITU-T H.264 Annex B)."""

from __future__ import annotations

_START_CODE = b"\x00\x00\x01"
_SPS, _PPS = 7, 8  # ITU-T H.264 table 7-1


def parameter_sets(data: bytes) -> bytes:
    """The SPS and PPS of an access unit as an Annex B stream; empty unless it has both."""
    units = [unit.rstrip(b"\x00") for unit in data.split(_START_CODE)[1:]]
    sets = [unit for unit in units if unit and unit[0] & 0x1F in (_SPS, _PPS)]
    if {unit[0] & 0x1F for unit in sets} != {_SPS, _PPS}:
        return b""
    return b"".join(b"\x00" + _START_CODE + unit for unit in sets)
