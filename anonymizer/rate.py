"""Limits how many pictures of a stream pass in a second."""

from __future__ import annotations


class RateLimit:
    """Lets at most `most_per_s` pictures a second of stream time pass, evenly spaced; None: all."""

    _SLACK_NS = 2_000_000  # timestamps are rounded to ticks of the stream

    def __init__(self, most_per_s: float | None) -> None:
        self._interval_ns = 0 if most_per_s is None else round(1e9 / most_per_s)
        self._due_ns: int | None = None

    def passes(self, pts_ns: int) -> bool:
        """Whether the picture with this timestamp passes; timestamps must grow."""
        if self._due_ns is None:
            self._due_ns = pts_ns
        if pts_ns + self._SLACK_NS < self._due_ns:
            return False
        self._due_ns += self._interval_ns
        if self._due_ns <= pts_ns:
            self._due_ns = pts_ns + self._interval_ns
        return True
