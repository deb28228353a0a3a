"""A camera core with fakes around it, and what may break in one."""

from __future__ import annotations

from collections.abc import Sequence

from anonymizer.clock import FakeClock
from anonymizer.pipeline.camera import CameraCore
from anonymizer.pipeline.governor import Governor
from anonymizer.pipeline.looks import Looks
from anonymizer.pipeline.recognition import Recognition
from anonymizer.pipeline.status import StatusCell
from anonymizer.pipeline.view import View
from anonymizer.policy import Evidence, Policy
from anonymizer.policy.alarms import Alarms
from anonymizer.policy.stillness import Stillness
from anonymizer.policy.viewpoint import Viewpoint
from anonymizer.policy.vigil import Vigil
from anonymizer.pose import STILL, Pose
from anonymizer.rate import RateLimit
from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import Mode, PrivacySettings, RedactSettings, TrackSettings
from anonymizer.track.camera_motion import CameraMotion
from anonymizer.track.hindsight import Hindsight
from anonymizer.track.pursuit import Pursuit
from anonymizer.track.tracker import Tracker
from anonymizer.types import (
    Detections,
    Frame,
    InferenceFailed,
    LinkChange,
    LinkState,
    Planes,
    Reason,
    RedactedFrame,
    RedactionPlan,
    Track,
)
from tests.fakes import RecordingMeter, make_detections, make_frame, make_planes

MS = 1_000_000
FACE = (40.0, 30.0, 80.0, 80.0)
PLANES = make_planes(160, 120, seed=5)


class BrokenError(Exception):
    pass


class BrokenPolicy(Policy):
    def decide(self, evidence: Evidence) -> RedactionPlan:
        raise BrokenError


class BrokenTracker(Tracker):
    def predict(self, pts_ns: int, pose: Pose = STILL) -> tuple[Track, ...]:
        raise BrokenError

    def update(self, detections: Detections, pts_ns: int, pose: Pose = STILL) -> tuple[Track, ...]:
        raise BrokenError


class BrokenRedactor(Redactor):
    def redact(self, frame: Frame, plan: RedactionPlan) -> RedactedFrame:
        raise BrokenError


class Rig:
    """A core with fakes around it, without look-ahead unless `privacy` asks for it; frames are 40 ms apart."""

    def __init__(
        self,
        *,
        policy: type[Policy] = Policy,
        tracker: type[Tracker] = Tracker,
        redactor: type[Redactor] = Redactor,
        viewpoint: type[Viewpoint] = Viewpoint,
        motion: type[CameraMotion] = CameraMotion,
        privacy: PrivacySettings | None = None,
        looks_per_s: float | None = None,
        stillness: Stillness | None = None,
        rests_beside_people: bool = True,
    ) -> None:
        self.clock = FakeClock()
        self.meter = RecordingMeter()
        self.asked: list[int] = []
        self.out: list[RedactedFrame] = []
        self.status = StatusCell("cam", self.clock)
        privacy = privacy or PrivacySettings(lookahead_ms=0)
        hindsight = Hindsight(span_ns=2000 * MS)
        self.core = CameraCore(
            "cam",
            submit=lambda frame: self.asked.append(frame.seq),
            looks=Looks(
                "cam",
                RateLimit(looks_per_s),
                stillness,
                self.meter,
                high_score=TrackSettings().high_score,
                rests_beside_people=rests_beside_people,
            ),
            tracker=tracker(TrackSettings(), hold_ns=privacy.hold_ms * MS),
            hindsight=hindsight,
            pursuit=Pursuit(hindsight, tail_ns=privacy.hold_ms * MS),
            policy=policy(privacy, RedactSettings()),
            governor=Governor(max_age_ns=privacy.max_detection_age_ms * MS, max_lag_ns=privacy.max_wait_ms * MS),
            view=View("cam", viewpoint(), motion()),
            vigil=Vigil() if privacy.mode is Mode.STRICT else None,
            alarms=Alarms(hold_ns=privacy.hold_ms * MS) if privacy.mode is Mode.STRICT else None,
            recognition=Recognition("cam", None, self.meter),
            redactor=redactor(RedactSettings()),
            sinks=(self,),
            meter=self.meter,
            clock=self.clock,
            status=self.status,
            lookahead_ns=privacy.lookahead_ms * MS,
            max_wait_ns=privacy.max_wait_ms * MS,
        )
        self.core.on_link(LinkChange("cam", LinkState.STREAMING, 0))

    def offer(self, frame: RedactedFrame) -> None:
        self.out.append(frame)

    def frame(self, seq: int, *, epoch: int = 0, suspect: bool = False, planes: Planes = PLANES) -> None:
        self.clock.advance(0.04)
        now = self.clock.now_ns()
        self.core.on_frame(make_frame(seq, epoch=epoch, captured_ns=now, pts_ns=now, planes=planes, suspect=suspect))

    def found(self, seq: int, *boxes: tuple[float, float, float, float], epoch: int = 0, score: float = 0.9) -> None:
        self.core.on_detections(make_detections(*boxes, seq=seq, epoch=epoch, score=score))

    def failed(self, seq: int, reason: Reason = Reason.INFERENCE_FAILED) -> None:
        self.core.on_failure(InferenceFailed("cam", seq, 0, reason, "it broke"))

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.core.on_time()

    def story(self) -> list[tuple[int, Reason | None]]:
        return [(frame.seq, frame.whole_frame) for frame in self.out]


def masked(frame: RedactedFrame, box: Sequence[float]) -> bool:
    x1, y1, x2, y2 = (round(value) for value in box)
    return bool((frame.planes.y[y1:y2, x1:x2] != PLANES.y[y1:y2, x1:x2]).mean() > 0.9)


def untouched(frame: RedactedFrame, box: Sequence[float]) -> bool:
    x1, y1, x2, y2 = (round(value) for value in box)
    return bool((frame.planes.y[y1:y2, x1:x2] == PLANES.y[y1:y2, x1:x2]).all())
