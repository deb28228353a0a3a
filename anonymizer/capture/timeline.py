"""Gives pictures timestamps that always grow, whatever the camera sends."""

from __future__ import annotations

_JUMP_NS = 10_000_000_000  # a camera that gains more than this on our clock has set its own clock ahead
_LEAST_STEP_NS = 1_000_000


class Timeline:
    """Keeps the stream's timestamps (ns) while they make sense, and continues with an estimate where they do not.

    The estimate advances by `step_ns` for files, and by the time between arrivals for live streams (`step_ns` None).
    """

    def __init__(self, step_ns: int | None = None) -> None:
        self._step_ns = step_ns
        self._offset_ns = 0
        self._last_ns: int | None = None
        self._last_arrival_ns = 0

    def place(self, pts_ns: int | None, arrival_ns: int) -> int:
        """The timestamp of the next picture, greater than the one before; `pts_ns` None: the stream gave none."""
        if self._last_ns is None:
            placed_ns = 0 if pts_ns is None else pts_ns
        else:
            placed_ns = self._continue(self._last_ns, pts_ns, arrival_ns)
        self._last_ns, self._last_arrival_ns = placed_ns, arrival_ns
        return placed_ns

    def _continue(self, last_ns: int, pts_ns: int | None, arrival_ns: int) -> int:
        waited_ns = max(arrival_ns - self._last_arrival_ns, _LEAST_STEP_NS)
        guessed_ns = last_ns + (waited_ns if self._step_ns is None else self._step_ns)
        if pts_ns is None:
            return guessed_ns
        placed_ns = pts_ns + self._offset_ns
        jumped = self._step_ns is None and placed_ns - last_ns > waited_ns + _JUMP_NS
        if placed_ns <= last_ns or jumped:
            self._offset_ns = guessed_ns - pts_ns
            return guessed_ns
        return placed_ns
