"""Makes output timestamps that keep the camera's even spacing and never drift away from our clock."""

from __future__ import annotations

_JUMP_NS = 1_000_000_000  # a larger difference is not evened out, the clock is followed at once
_MIN_STEP_NS = 1_000_000
_SMOOTHING = 64  # pictures over which a difference between camera and clock is evened out


class Pacer:
    """Maps stream time onto the time of a running clock; strictly increasing."""

    def __init__(self) -> None:
        self._pts_ns: int | None = None
        self._out_ns = -_MIN_STEP_NS

    def place(self, pts_ns: int, now_ns: int) -> int:
        """Output time of the picture with this PTS, which is handed over at `now_ns`."""
        expected_ns = now_ns if self._pts_ns is None else self._out_ns + pts_ns - self._pts_ns
        late_ns = now_ns - expected_ns
        placed_ns = now_ns if abs(late_ns) > _JUMP_NS else expected_ns + late_ns // _SMOOTHING
        self._pts_ns = pts_ns
        self._out_ns = max(placed_ns, self._out_ns + _MIN_STEP_NS)
        return self._out_ns
