"""Frames that wait: for the look-ahead in a ring, of which what falls out is never released, and for the detector."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from anonymizer.pose import STILL, Pose
from anonymizer.types import Detections, Frame, Reason, Track

RING_BYTES = 256 * 1024 * 1024  # of frames that one camera holds
_MOST_QUESTIONS = 256


@dataclass(frozen=True, slots=True)
class Asked:
    """When a frame that went to the detector was taken, and where the camera pointed in it."""

    pts_ns: int
    captured_ns: int
    pose: Pose = STILL

    def distance_ns(self, frame: Frame) -> int:
        """How far apart the two may have been taken: pictures may wait on their way, and cameras set their clocks."""
        return max(abs(frame.captured_ns - self.captured_ns), abs(frame.pts_ns - self.pts_ns))


class Questions:
    """The frames of a camera that the detector was asked about; of too many the oldest are forgotten."""

    def __init__(self) -> None:
        self._asked: OrderedDict[int, Asked] = OrderedDict()  # by number, which grows
        self._answered = -1  # number of the newest one with an answer
        self._at = -1  # of the one that it is at, as far as its answers tell: it takes the newest

    def add(self, frame: Frame) -> None:
        """It is asked about this one."""
        if self._at <= self._answered:
            self._at = frame.seq
        self._asked[frame.seq] = Asked(frame.pts_ns, frame.captured_ns, frame.pose)
        if len(self._asked) > _MOST_QUESTIONS:
            self._asked.popitem(last=False)

    def answered(self, seq: int) -> Asked | None:
        """It has answered about that one, or failed to; None: not asked, too long ago, or answered before."""
        if seq in self._asked:
            self._answered = max(self._answered, seq)
            self._at = max(self._at, next(reversed(self._asked)))
        return self._asked.pop(seq, None)

    def is_one_waiting(self) -> bool:
        """Whether one waits while the detector is at another: a newer one in its place is no look more."""
        return bool(self._asked) and next(reversed(self._asked)) > max(self._at, self._answered)

    def clear(self) -> None:
        """Answers to those so far do not count any more."""
        self._asked.clear()
        self._answered = self._at = -1


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """What a frame's mask rests on, but for what only later frames tell."""

    detections: Detections | None = None  # of this frame
    later: Detections | None = None  # of the newer frame for which this one was passed over
    tracks: tuple[Track, ...] = ()  # as of this frame
    age_ns: int | None = None  # distance to the nearest frame with detections; None: there was none yet
    fault: Reason | None = None  # set: mask everything


@dataclass(slots=True, eq=False)
class Held:
    """A frame that waits, and what is known about it by now."""

    frame: Frame
    lag_ns: int  # from its capture until it came here
    basis: Basis | None = None  # None: the detector has not come to it yet
    tracking_ns: int = 0  # time that its detections and tracks took

    @property
    def is_open(self) -> bool:
        """The detector may still come to it."""
        return self.basis is None and not self.frame.suspect

    @property
    def is_doomed(self) -> bool:
        """Nothing that later frames show can keep this one from being masked whole."""
        return self.frame.suspect or (self.basis is not None and self.basis.fault is not None)


def frame_bytes(frame: Frame) -> int:
    """Memory that a frame keeps busy, in bytes."""
    return frame.planes.y.nbytes + frame.planes.u.nbytes + frame.planes.v.nbytes


class HoldRing:
    """Frames in order of arrival.

    Overflow rules: a frame that no longer fits into `max_bytes` is turned away, so that fewer frames leave, but never
    none; frames that were taken more than `max_span_ns` before the newest are dropped. Both are handed back, to be
    counted and forgotten.
    """

    def __init__(self, max_span_ns: int, max_bytes: int) -> None:
        self._max_span_ns = max_span_ns
        self._max_bytes = max_bytes
        self._held: deque[Held] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held)

    def push(self, held: Held) -> tuple[Frame, ...]:
        """Append a frame; returns the frames that are lost."""
        lost = []
        while self._held and held.frame.captured_ns - self._held[0].frame.captured_ns > self._max_span_ns:
            lost.append(self.pop().frame)
        size_bytes = frame_bytes(held.frame)
        if self._held and self._bytes + size_bytes > self._max_bytes:
            return (*lost, held.frame)
        self._held.append(held)
        self._bytes += size_bytes
        return tuple(lost)

    def head(self) -> Held | None:
        """Oldest frame, left in place."""
        return self._held[0] if self._held else None

    def pop(self) -> Held:
        """Oldest frame, taken out; raises IndexError when empty."""
        held = self._held.popleft()
        self._bytes -= frame_bytes(held.frame)
        return held
