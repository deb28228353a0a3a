"""One steady time line a camera: stream timestamps of successive connections joined without a jump back."""

from __future__ import annotations


class Timeline:
    """Maps the PTS of each epoch onto nanoseconds since the camera's first frame, strictly increasing.

    Within an epoch the camera's own spacing is kept; between epochs the time on our clock bridges the gap. A PTS that
    drifts more than `slack_ns` from our clock (a camera that sets its clock) is anchored again.
    """

    def __init__(self, slack_ns: int = 5_000_000_000) -> None:
        self._slack_ns = slack_ns
        self._origin_ns: int | None = None
        self._epoch: int | None = None
        self._offset_ns = 0
        self._last_ns = -1

    def place(self, epoch: int, pts_ns: int, captured_ns: int) -> int:
        """Position of a frame on the time line."""
        if self._origin_ns is None:
            self._origin_ns = captured_ns
        elapsed_ns = captured_ns - self._origin_ns
        placed_ns = pts_ns + self._offset_ns
        if epoch != self._epoch or abs(placed_ns - elapsed_ns) > self._slack_ns:
            self._epoch = epoch
            self._offset_ns = elapsed_ns - pts_ns
            placed_ns = elapsed_ns
        self._last_ns = max(placed_ns, self._last_ns + 1)
        return self._last_ns

    def at(self, now_ns: int) -> int:
        """Position of this moment, for pictures that no camera sent."""
        if self._origin_ns is None:
            self._origin_ns = now_ns
        self._last_ns = max(now_ns - self._origin_ns, self._last_ns + 1)
        return self._last_ns
