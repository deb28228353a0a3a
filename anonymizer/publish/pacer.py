"""Output timestamps with the camera's even spacing that never drift away from our clock."""

from __future__ import annotations

_JUMP_NS = 1_000_000_000
_MIN_STEP_NS = 1_000_000
_SMOOTHING = 64  # pictures over which a difference between camera and clock is evened out


class Pacer:
    """Maps stream time onto a running clock, strictly increasing; more than a second apart, the clock wins at once."""

    def __init__(self) -> None:
        self._pts_ns: int | None = None
        self._out_ns = -_MIN_STEP_NS

    def place(self, pts_ns: int, now_ns: int) -> int:
        """Output time of the picture with this PTS that is handed over at `now_ns`."""
        expected_ns = now_ns if self._pts_ns is None else self._out_ns + pts_ns - self._pts_ns
        ahead_ns = now_ns - expected_ns
        placed_ns = now_ns if abs(ahead_ns) > _JUMP_NS else expected_ns + ahead_ns // _SMOOTHING
        self._pts_ns = pts_ns
        self._out_ns = max(placed_ns, self._out_ns + _MIN_STEP_NS)
        return self._out_ns
