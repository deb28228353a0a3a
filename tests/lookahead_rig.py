"""A camera core with a real tracker and policy, fed frame by frame, and what its pictures hide."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from anonymizer.clock import FakeClock
from anonymizer.pipeline.assembly import make_core
from anonymizer.pipeline.status import StatusCell
from anonymizer.settings.schema import MaskSettings, Mode, PrivacySettings, RedactSettings, TargetName, TrackSettings
from anonymizer.types import (
    Detections,
    Effect,
    Frame,
    InferenceFailed,
    LinkChange,
    LinkState,
    Planes,
    Reason,
    RedactedFrame,
    Size,
)
from tests.fakes import RecordingMeter, make_detections, make_frame, make_planes

MS = 1_000_000
STEP_MS = 40
SIZE = Size(320, 240)
PLANES = make_planes(SIZE.width, SIZE.height, seed=5)
WALL = make_planes(SIZE.width, SIZE.height)
FACE = (100.0, 80.0, 130.0, 120.0)
Box = tuple[float, float, float, float]


class Rig:
    """A real core, tracker and policy; the detector's answers come `answer_ms` after their frame."""

    def __init__(
        self,
        *,
        lookahead_ms: int = 500,
        answer_ms: int = 10,
        mode: Mode = Mode.BALANCED,
        submit: Callable[[Frame], None] = lambda _frame: None,
    ) -> None:
        self.clock = FakeClock()
        self.meter = RecordingMeter()
        self.out: list[tuple[int, RedactedFrame]] = []  # when it left, in ms
        self._answer_ms = answer_ms
        self._answers: deque[tuple[int, Detections | InferenceFailed]] = deque()
        self.core = make_core(
            "cam",
            PrivacySettings(targets=(TargetName.FACE,), lookahead_ms=lookahead_ms, mode=mode),
            RedactSettings(face=MaskSettings(effect=Effect.FILL, margin=0.2)),
            TrackSettings(looks_per_s=120),
            submit=submit,
            sinks=(self,),
            meter=self.meter,
            clock=self.clock,
            status=StatusCell("cam", self.clock),
        )
        self.core.on_link(LinkChange("cam", LinkState.STREAMING, 0))

    def offer(self, frame: RedactedFrame) -> None:
        self.out.append((self.clock.now_ns() // MS, frame))

    def play(
        self,
        seq: int,
        found: Detections | InferenceFailed | None,
        *,
        suspect: bool = False,
        planes: Planes = PLANES,
        pts_ahead_ms: int = 0,
        answer_ms: int | None = None,
    ) -> None:
        """The next frame, and what the detector will say of it, perhaps later than usual; None: it passes it over."""
        self._run_until(seq * STEP_MS)
        now_ns = self.clock.now_ns()
        pts_ns = now_ns + pts_ahead_ms * MS
        self.core.on_frame(make_frame(seq, captured_ns=now_ns, pts_ns=pts_ns, planes=planes, suspect=suspect))
        if found is not None:
            self._answers.append((seq * STEP_MS + (answer_ms or self._answer_ms), found))

    def finish(self) -> None:
        """Let time pass until every frame has left."""
        self._run_until(self.clock.now_ns() // MS + 2000)

    def frames(self) -> list[RedactedFrame]:
        return [frame for _, frame in self.out if frame.whole_frame is not Reason.NO_SIGNAL]

    def _run_until(self, until_ms: int) -> None:
        """Step from event to event, as the actor does."""
        while (now_ms := self.clock.now_ns() // MS) < until_ms:
            next_ms = min(until_ms, max(-(-self.core.next_deadline_ns() // MS), now_ms + 1))
            if self._answers:
                next_ms = min(next_ms, max(self._answers[0][0], now_ms))
            self.clock.advance((next_ms - now_ms) / 1000)
            while self._answers and self._answers[0][0] <= next_ms:
                answer = self._answers.popleft()[1]
                if isinstance(answer, Detections):
                    self.core.on_detections(answer)
                else:
                    self.core.on_failure(answer)
            self.core.on_time()


def nobody(seq: int) -> Detections:
    return make_detections(seq=seq)


def face(seq: int, box: Box = FACE) -> Detections:
    return make_detections(box, seq=seq)


def both(one: Detections, other: Detections) -> Detections:
    """What either found in the same frame."""
    boxes, scores, class_ids = (
        np.concatenate([getattr(one, name), getattr(other, name)]) for name in ("boxes", "scores", "class_ids")
    )
    return replace(one, boxes=boxes, scores=scores, class_ids=class_ids)


def is_masked(frame: RedactedFrame, box: Box) -> bool:
    """Whether every pixel that the box touches within the picture is hidden."""
    if frame.whole_frame is not None:
        return True
    x1, y1 = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    x2, y2 = max(0, int(np.ceil(box[2]))), max(0, int(np.ceil(box[3])))
    return bool((frame.planes.y[y1:y2, x1:x2] == 16).all())
