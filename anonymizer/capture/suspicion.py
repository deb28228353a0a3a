"""Decides which pictures may show damage, because decoders flag only a quarter of those that do."""

from __future__ import annotations

from collections import deque
from statistics import median


class SuspicionGate:
    """Suspects every picture from a fault to the next key frame, and all before the first key frame.

    `fault` and `recovery_point` follow the order of packets, `admit` the order in which pictures come out.
    """

    def __init__(self) -> None:
        self._suspect = True
        self._pending = 0
        self._recovery_points = 0

    def fault(self, pending: int = 0) -> None:
        """Something was lost or broken; up to `pending` earlier pictures may still come out of the decoder."""
        self._suspect = True
        self._pending = max(self._pending, pending)
        self._recovery_points = 0

    def recovery_point(self) -> None:
        """A recovery point that is no key frame, as in streams with periodic intra refresh, which have no key frames.

        The second one without a fault in between ends the suspicion: the whole picture was refreshed between the two.
        """
        self._recovery_points += 1
        if self._recovery_points >= 2:
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
    _ENOUGH = 8  # intervals needed for a judgement
    _TOLERANCE = 0.25  # an interval is steady if it differs from the median by at most this fraction of it
    _STEADY_SHARE = 0.75  # a stream is steady if at least this share of its intervals is
    _GAP = 1.5  # an interval longer than this many medians has a hole in it

    def __init__(self) -> None:
        self._intervals_ns: deque[int] = deque(maxlen=self._WINDOW)
        self._last_ns: int | None = None

    def gap(self, pts_ns: int | None) -> bool:
        """Whether at least one picture is missing before the one at `pts_ns`; None: its time is unknown."""
        last_ns, self._last_ns = self._last_ns, pts_ns
        if last_ns is None or pts_ns is None:
            return False
        interval_ns = pts_ns - last_ns
        usual_ns = self._usual_ns()
        self._intervals_ns.append(interval_ns)
        return usual_ns is not None and not 0 < interval_ns <= self._GAP * usual_ns

    def _usual_ns(self) -> float | None:
        """The median interval; None while too few are known, or if the stream is unsteady or its time stands still."""
        if len(self._intervals_ns) < self._ENOUGH:
            return None
        usual_ns = median(self._intervals_ns)
        steady = sum(abs(interval_ns - usual_ns) <= self._TOLERANCE * usual_ns for interval_ns in self._intervals_ns)
        return usual_ns if usual_ns > 0 and steady >= self._STEADY_SHARE * len(self._intervals_ns) else None
