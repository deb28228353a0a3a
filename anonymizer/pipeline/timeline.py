"""One steady time line a camera: stream timestamps of successive connections joined without a jump."""

from __future__ import annotations

_LEEWAY_NS = 100_000_000  # pictures arrive early and late by so much, whatever the camera's clock does
_GENTLY = 200  # of the time that passes one part is given or taken: nobody sees it, and no crystal drifts as fast


class Timeline:
    """Maps the PTS of each epoch onto nanoseconds since the camera's first frame, strictly increasing.

    Within an epoch the camera's own spacing is kept; between epochs the time on our clock bridges the gap. A camera
    whose clock runs a little fast or slow is led back gently: tracks and players count on steps that are neither tiny
    nor huge. One that sets its clock, or is more than `slack_ns` off, is placed by the time that passes on our clock.
    """

    def __init__(self, slack_ns: int = 5_000_000_000) -> None:
        self._slack_ns = slack_ns
        self._origin_ns: int | None = None
        self._epoch: int | None = None
        self._offset_ns = 0
        self._last_ns = -1
        self._elapsed_ns = 0  # on our clock, when the newest position was given out
        self._lead_ns = 0  # by how much positions of this epoch are ahead of our clock
        self.leapt = False  # the newest frame is further ahead than the network explains: the camera set its clock

    def place(self, epoch: int, pts_ns: int, captured_ns: int) -> int:
        """Position of a frame on the time line."""
        elapsed_ns, waited_ns = self._elapse(captured_ns)
        placed_ns = pts_ns + self._offset_ns
        ahead_ns = placed_ns - elapsed_ns
        self.leapt = epoch == self._epoch and self._lead_ns + _LEEWAY_NS < ahead_ns <= self._slack_ns
        if epoch != self._epoch:
            self._epoch, self._lead_ns = epoch, 0
            placed_ns = elapsed_ns
        elif abs(ahead_ns) > self._slack_ns:
            placed_ns = self._last_ns + waited_ns
        elif abs(ahead_ns) > _LEEWAY_NS:
            placed_ns -= waited_ns // _GENTLY if ahead_ns > 0 else -(waited_ns // _GENTLY)
        self._last_ns = max(placed_ns, self._last_ns + 1)
        self._offset_ns = self._last_ns - pts_ns
        self._lead_ns = max(self._last_ns - elapsed_ns, self._lead_ns - waited_ns // _GENTLY)
        return self._last_ns

    def at(self, now_ns: int) -> int:
        """Position of this moment, for pictures that no camera sent."""
        elapsed_ns, waited_ns = self._elapse(now_ns)
        self._last_ns = max(elapsed_ns, self._last_ns + waited_ns - waited_ns // _GENTLY, self._last_ns + 1)
        return self._last_ns

    def _elapse(self, now_ns: int) -> tuple[int, int]:
        """Time since the first frame, and since the newest position."""
        if self._origin_ns is None:
            self._origin_ns = now_ns
        elapsed_ns = now_ns - self._origin_ns
        waited_ns, self._elapsed_ns = elapsed_ns - self._elapsed_ns, elapsed_ns
        return elapsed_ns, waited_ns
