"""When held frames leave: a steady delay after they were taken, so that the output is as smooth as the camera."""

from __future__ import annotations

_FORGIVENESS = 0.02  # of what the delay is too long, given back at every answer


class Playout:
    """The look-ahead plus the time that detections lately took to come; without look-ahead nothing is smoothed.

    A jitter buffer: the delay follows a slow answer at once and shrinks gently, within `max_wait_ns`.
    """

    def __init__(self, lookahead_ns: int, max_wait_ns: int) -> None:
        self._lookahead_ns = lookahead_ns
        self._max_wait_ns = max_wait_ns
        self._processing_ns = 0

    def answered(self, took_ns: int) -> None:
        """The detector's answer came so long after the oldest frame that waited for it was taken."""
        if self._lookahead_ns:
            shrunk_ns = self._processing_ns - round(_FORGIVENESS * (self._processing_ns - took_ns))
            self._processing_ns = min(max(took_ns, shrunk_ns), self._max_wait_ns)

    def due_ns(self, captured_ns: int) -> int:
        """When the frame leaves if its look-ahead is complete."""
        return captured_ns + self._lookahead_ns + self._processing_ns

    def deadline_ns(self, captured_ns: int) -> int:
        """When the frame leaves with whatever is known."""
        return captured_ns + self._lookahead_ns + self._max_wait_ns
