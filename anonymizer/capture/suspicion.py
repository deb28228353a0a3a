"""Decides which pictures may show damage: a decoder flags only a quarter of those that do."""

from __future__ import annotations

from collections import deque
from statistics import median


class SuspicionGate:
    """Everything from a fault up to the next key frame is suspect, and so is everything before the first key frame.

    Called in decoding order for packets (`fault`, `refresh_point`) and in output order for pictures (`admit`).
    """

    def __init__(self) -> None:
        self._suspect = True
        self._pending = 0
        self._refresh_points = 0

    def fault(self, pending: int = 0) -> None:
        """Something was lost or broken; `pending` older pictures may still come out of the decoder's reordering."""
        self._suspect = True
        self._pending = max(self._pending, pending)
        self._refresh_points = 0

    def refresh_point(self) -> None:
        """A recovery point that is no key frame: streams with periodic intra refresh have no others.

        The second one in a row without a fault ends the suspicion, because a whole refresh lies between the two.
        """
        self._refresh_points += 1
        if self._refresh_points >= 2:
            self._suspect = False

    def admit(self, *, key: bool, damaged: bool) -> bool:
        """True when this picture must be masked whole; `damaged` is the decoder's own flag."""
        if damaged:
            self.fault()
        elif self._pending > 0:
            self._pending -= 1
        elif key:
            self._suspect = False
        return self._suspect


class Cadence:
    """Notices missing pictures by their timestamps, on streams whose timestamps are steady."""

    _WINDOW = 16  # intervals remembered
    _ENOUGH = 8  # intervals seen before anything is judged
    _TOLERANCE = 0.25  # a steady interval is within this fraction of the median ...
    _STEADY_SHARE = 0.75  # ... and this share of all intervals is steady
    _GAP = 1.5  # medians

    def __init__(self) -> None:
        self._intervals_ns: deque[int] = deque(maxlen=self._WINDOW)
        self._last_ns: int | None = None

    def gap(self, pts_ns: int | None) -> bool:
        """True when at least one picture is missing between the previous one and this; None: time unknown."""
        last_ns, self._last_ns = self._last_ns, pts_ns
        if last_ns is None or pts_ns is None:
            return False
        interval_ns = pts_ns - last_ns
        usual_ns = self._usual_ns()
        self._intervals_ns.append(interval_ns)
        return usual_ns is not None and not 0 < interval_ns <= self._GAP * usual_ns

    def _usual_ns(self) -> float | None:
        """The frame interval, None while it is unknown, or the stream is not steady or its time stands still."""
        if len(self._intervals_ns) < self._ENOUGH:
            return None
        usual_ns = median(self._intervals_ns)
        steady = sum(abs(interval_ns - usual_ns) <= self._TOLERANCE * usual_ns for interval_ns in self._intervals_ns)
        return usual_ns if usual_ns > 0 and steady >= self._STEADY_SHARE * len(self._intervals_ns) else None
