"""Plays a clip through the core of a camera on a simulated clock, so that every run publishes the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from anonymizer.clock import Clock, FakeClock
from anonymizer.errors import InvalidOutputError, SourceEnded
from anonymizer.evaluate.video.audit import Audit
from anonymizer.ports import Detector, FrameSink, Source
from anonymizer.pose import Pose
from anonymizer.types import (
    AuditFinding,
    Detections,
    Frame,
    InferenceFailed,
    LinkChange,
    LinkState,
    Reason,
    RedactedFrame,
    RedactionPlan,
    Size,
)

_LEAST_STEP_NS = 1_000_000
_DRAIN_NS = 10_000_000_000  # after the last picture: whatever is still held then never leaves


class Core(Protocol):
    """The core of a camera."""

    def on_frame(self, frame: Frame) -> None:
        """A raw frame arrived."""
        ...

    def on_detections(self, found: Detections) -> None:
        """The detector answered."""
        ...

    def on_failure(self, failure: InferenceFailed) -> None:
        """The detector failed."""
        ...

    def on_finding(self, finding: AuditFinding) -> None:
        """The audit found somebody bare."""
        ...

    def on_link(self, change: LinkChange) -> None:
        """The connection changed."""
        ...

    def on_time(self) -> None:
        """Time has passed."""
        ...

    def next_deadline_ns(self) -> int:
        """When `on_time` must be called."""
        ...


MakeCore = Callable[[Callable[[Frame], None], FrameSink, Clock], Core]  # submit, sink, clock


@dataclass(frozen=True, slots=True)
class Pace:
    """How busy the detector is."""

    every: int = 1  # only each n-th frame may be looked at
    takes_ms: float = 0.0  # simulated time for a frame; meanwhile the newest frame waits, as in the daemon


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame as it was published."""

    seq: int
    size: Size
    plan: RedactionPlan  # what was masked
    delay_ns: int  # from capture to publication, on the simulated clock


@dataclass(slots=True)
class Spent:
    """CPU time in nanoseconds."""

    decode: int = 0
    detect: int = 0
    blur: int = 0  # tracker, policy, redactor
    audit: int = 0

    @property
    def total(self) -> int:
        """CPU time of everything but the encoder and the audit."""
        return self.decode + self.detect + self.blur


@dataclass(slots=True)
class Take:
    """What came of playing a clip; frames count from 0."""

    times_ns: list[int] = field(default_factory=list)  # of each frame of the clip
    shown: list[Shown] = field(default_factory=list)
    found: dict[int, Detections] = field(default_factory=dict)  # by frame
    poses: dict[int, Pose] = field(default_factory=dict)  # of the camera, in frames that were looked at
    spent: Spent = field(default_factory=Spent)


class Rehearsal:
    """One clip played to one camera's core; frames arrive at their timestamps. Used once, by one thread."""

    def __init__(
        self,
        source: Source,
        detector: Detector,
        make_core: MakeCore,
        pace: Pace,
        cpu_ns: Callable[[], int],
        audit: Audit | None = None,
    ) -> None:
        """`source` and `detector` are started, and closed by whoever made them."""
        self._source = source
        self._detector = detector
        self._pace = pace
        self._cpu_ns = cpu_ns
        self._audit = audit
        self._clock = FakeClock()
        self._core = make_core(self._submit, self, self._clock)
        self._take = Take()
        self._waiting: Frame | None = None
        self._answer: tuple[int, Detections | InferenceFailed] | None = None  # of the detector, and when it comes
        self._finding: AuditFinding | None = None  # not handed to the core yet

    def perform(self) -> Take:
        """Play the clip to its end; raises SourceError, ModelError."""
        began_ns = self._cpu_ns()
        first_ns: int | None = None
        while (frame := self._next_frame()) is not None:
            first_ns = frame.pts_ns if first_ns is None else first_ns
            at_ns = frame.pts_ns - first_ns
            self._run_until(at_ns)
            self._arrive(frame, at_ns)
        end_ns = self._clock.now_ns() + _DRAIN_NS
        while not self._is_over() and self._clock.now_ns() < end_ns:
            self._step(end_ns)
        spent = self._take.spent
        spent.blur = self._cpu_ns() - began_ns - spent.decode - spent.detect - spent.audit
        return self._take

    def offer(self, frame: RedactedFrame) -> None:
        """Take a published frame from the core."""
        if frame.whole_frame is not Reason.NO_SIGNAL:
            plan = RedactionPlan(frame.seq, frame.regions, frame.whole_frame)
            delay_ns = self._clock.now_ns() - frame.captured_ns
            self._take.shown.append(Shown(frame.seq, frame.size, plan, delay_ns))
            if self._audit is not None:
                began_ns = self._cpu_ns()
                self._finding = self._audit.look(frame) or self._finding
                self._take.spent.audit += self._cpu_ns() - began_ns

    def _arrive(self, frame: Frame, at_ns: int) -> None:
        seq = len(self._take.times_ns)
        if not seq:
            self._core.on_link(LinkChange(frame.camera_id, LinkState.STREAMING, frame.epoch))
        self._take.times_ns.append(at_ns)
        self._core.on_frame(dataclasses.replace(frame, seq=seq, pts_ns=at_ns, captured_ns=at_ns, wall_ns=at_ns))

    def _next_frame(self) -> Frame | None:
        began_ns = self._cpu_ns()
        try:
            return self._source.read()
        except SourceEnded:
            return None
        finally:
            self._take.spent.decode += self._cpu_ns() - began_ns

    def _is_over(self) -> bool:
        """Whether the last frame of the clip was published."""
        shown, times = self._take.shown, self._take.times_ns
        return not times or (bool(shown) and shown[-1].seq == len(times) - 1)

    def _submit(self, frame: Frame) -> None:
        if frame.seq % self._pace.every == 0:
            self._waiting = frame
            self._begin_inference()

    def _begin_inference(self) -> None:
        """Give the newest frame to the detector if it is idle; its answer comes after the simulated time."""
        if self._answer is None and self._waiting is not None:
            frame, self._waiting = self._waiting, None
            self._answer = (self._clock.now_ns() + round(self._pace.takes_ms * 1e6), self._detect(frame))

    def _detect(self, frame: Frame) -> Detections | InferenceFailed:
        began_ns = self._cpu_ns()
        try:
            found = self._detector.detect(frame)
        except InvalidOutputError as error:
            return InferenceFailed(frame.camera_id, frame.seq, frame.epoch, Reason.INVALID_OUTPUT, str(error))
        finally:
            self._take.spent.detect += self._cpu_ns() - began_ns
        self._take.found[frame.seq], self._take.poses[frame.seq] = found, frame.pose
        return found

    def _run_until(self, at_ns: int) -> None:
        while self._clock.now_ns() < at_ns or (self._answer is not None and self._answer[0] <= at_ns):
            self._step(at_ns)

    def _step(self, at_ns: int) -> None:
        """Move the clock to the next event, `at_ns` at the latest, and handle it."""
        now_ns = self._clock.now_ns()
        due_ns = max(self._core.next_deadline_ns(), now_ns + _LEAST_STEP_NS)
        if self._answer is not None:
            due_ns = min(due_ns, self._answer[0])
        self._clock.advance((min(due_ns, at_ns) - now_ns) / 1e9)
        if self._finding is not None:
            finding, self._finding = self._finding, None
            self._core.on_finding(finding)
        if self._answer is not None and self._answer[0] <= self._clock.now_ns():
            answer, self._answer = self._answer[1], None
            if isinstance(answer, Detections):
                self._core.on_detections(answer)
            else:
                self._core.on_failure(answer)
            self._begin_inference()
        self._core.on_time()
