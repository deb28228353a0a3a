"""Plays a case: the real core of a camera on a simulated clock, with a detector that knows who is there."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from anonymizer.benchmark.stages import quiet_meter
from anonymizer.clock import FakeClock
from anonymizer.pipeline.assembly import make_core
from anonymizer.pipeline.camera import CameraCore
from anonymizer.pipeline.status import StatusCell
from anonymizer.types import (
    AuditFinding,
    Detections,
    Frame,
    InferenceFailed,
    LinkChange,
    LinkState,
    Reason,
    RedactedFrame,
)
from scripts.fuzz.case import Case
from scripts.fuzz.scene import Box, Scene, Walker, make_walker

CAMERA = "fuzz"
LATE_NS = 12_000_000_000  # after the last frame: everything has left by then
_MS, _S = 1_000_000, 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A frame that the camera sent."""

    frame: Frame
    people: tuple[tuple[Walker, Box], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The first answer to a frame."""

    answered_ns: int
    found: tuple[tuple[Walker, Box], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A picture that left."""

    at_ns: int
    picture: RedactedFrame


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """All that happened, by the number of the frame."""

    case: Case
    taken: Mapping[int, Taken]
    looks: Mapping[int, Look]
    shown: Sequence[Shown]


@dataclass(slots=True)
class _Hour:
    """What the camera is at."""

    time_s: float = 0.0
    pts_ns: int = 0
    epoch: int = 0
    view: int = 0
    suspect: int = 0  # frames that are still to be
    captured_ns: int = -1


@dataclass(slots=True)
class _Desk:
    """The detector's: it looks at one frame at a time, and of those that wait at the newest."""

    waits: Frame | None = None
    frame: Frame | None = None
    due_ns: int = 0
    again: list[Detections] = field(default_factory=list)


class Play:
    """One case; plays once."""

    def __init__(self, case: Case, scene: Scene) -> None:
        self._case = case
        self._scene = scene
        self._draw = random.Random(f"play {case.seed}")
        self._clock = FakeClock()
        self._desk = _Desk()
        self._hour = _Hour()
        self._people = [make_walker(self._draw, 0.0) for _ in range(case.people)]
        self._taken: dict[int, Taken] = {}
        self._looks: dict[int, Look] = {}
        self._shown: list[Shown] = []

    def perform(self) -> Record:
        """From the first frame until the last one has left."""
        core = self._core()
        core.on_link(LinkChange(CAMERA, LinkState.STREAMING, 0))
        for seq in range(1, self._case.frames + 1):
            self._go_on()
            self._run(core, round(self._hour.time_s * _S))
            if not self._happens(self._case.troubles.drops):
                self._take(core, seq)
        self._run(core, self._clock.now_ns() + LATE_NS)
        return Record(self._case, self._taken, self._looks, self._shown)

    def offer(self, frame: RedactedFrame) -> None:
        """The sink of the core."""
        self._shown.append(Shown(self._clock.now_ns(), frame))

    def _core(self) -> CameraCore:
        case = self._case
        return make_core(
            CAMERA,
            case.privacy,
            case.redact,
            case.track,
            submit=self._ask,
            sinks=(self,),
            meter=quiet_meter(),
            clock=self._clock,
            status=StatusCell(CAMERA, self._clock),
        )

    def _happens(self, share: float) -> bool:
        return self._draw.random() < share

    def _go_on(self) -> None:
        """To the next frame, and whatever happens on the way."""
        draw, hour, troubles = self._draw, self._hour, self._case.troubles
        step_s = draw.choice((1, 1, 1, draw.uniform(0.5, 1.5))) / troubles.frames_s
        if self._happens(troubles.stalls):
            step_s += draw.choice((0.3, 1.0, 3.0, 12.0))
        hour.time_s += step_s
        hour.pts_ns += round(step_s * _S)
        if self._happens(troubles.leaps):
            hour.pts_ns += round(draw.choice((-4, -1, -0.05, 0.05, 1, 4, 8, 100)) * _S)
        if self._happens(troubles.reconnects):
            hour.epoch += 1
            hour.pts_ns = draw.choice((hour.pts_ns, 0))
        if self._happens(troubles.turns):
            hour.view = 1 - hour.view
        hour.suspect = draw.randint(1, 20) if self._happens(troubles.suspect) else max(hour.suspect - 1, 0)
        if self._happens(0.03):
            self._people.append(make_walker(draw, hour.time_s))

    def _take(self, core: CameraCore, seq: int) -> None:
        hour, draw = self._hour, self._draw
        there = [(each, each.at(hour.time_s)) for each in self._people]
        people = tuple((each, box) for each, box in there if box is not None)
        lag_ns = draw.choice((0, 20, 300)) * _MS if self._happens(0.1) else 0
        hour.captured_ns = max(self._clock.now_ns() - lag_ns, hour.captured_ns + 1)
        planes = self._scene.picture(hour.view, [box for _, box in people])
        suspect = bool(hour.suspect)
        frame = Frame(CAMERA, seq, hour.epoch, hour.pts_ns, hour.captured_ns, 0, planes, suspect=suspect)
        self._taken[seq] = Taken(frame, people)
        core.on_frame(frame)
        if self._happens(0.01):
            core.on_finding(AuditFinding(CAMERA, frame.captured_ns, 0, frame.size, ((5.0, 5.0, 20.0, 20.0),)))

    def _ask(self, frame: Frame) -> None:
        if not self._happens(self._case.troubles.lost):
            self._desk.waits = frame

    def _run(self, core: CameraCore, until_ns: int) -> None:
        """Let time pass: the detector answers and the core keeps its deadlines."""
        while True:
            self._begin_look()
            now_ns = self._clock.now_ns()
            due_ns = self._desk.due_ns if self._desk.frame is not None else until_ns
            next_ns = min(max(core.next_deadline_ns(), now_ns + _MS), max(due_ns, now_ns), until_ns)
            self._clock.advance((next_ns - now_ns) / _S)
            if self._desk.frame is not None and self._desk.due_ns <= next_ns:
                self._answer(core, self._desk.frame)
            elif next_ns >= until_ns:
                return
            core.on_time()

    def _begin_look(self) -> None:
        desk = self._desk
        if desk.frame is None and desk.waits is not None:
            desk.frame, desk.waits = desk.waits, None
            slowly = 4 if self._happens(0.1) else 1
            taken_ms = self._case.troubles.look_ms * self._draw.choice((0.5, 1, 1, 2, slowly))
            desk.due_ns = self._clock.now_ns() + round(taken_ms * _MS)

    def _answer(self, core: CameraCore, frame: Frame) -> None:
        desk, draw, troubles = self._desk, self._draw, self._case.troubles
        desk.frame = None
        if self._happens(troubles.fails):
            reason = draw.choice((Reason.INFERENCE_FAILED, Reason.INVALID_OUTPUT))
            core.on_failure(InferenceFailed(CAMERA, frame.seq, frame.epoch, reason, "made up"))
            return
        found = tuple((each, box) for each, box in self._taken[frame.seq].people if draw.random() >= each.missed)
        detections = Detections(
            CAMERA,
            frame.seq,
            frame.epoch,
            np.array([box for _, box in found], np.float32).reshape(-1, 4),
            np.array([each.score for each, _ in found], np.float32),
            np.array([each.target for each, _ in found], np.int32),
        )
        self._looks.setdefault(frame.seq, Look(self._clock.now_ns(), found))
        core.on_detections(detections)
        if self._happens(troubles.repeats):
            desk.again.append(detections)
        if desk.again and self._happens(0.3):
            core.on_detections(desk.again.pop(draw.randrange(len(desk.again))))
