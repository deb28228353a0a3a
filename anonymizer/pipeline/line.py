"""One camera from end to end: capture, core, encoder, started sinks first and stopped in reverse."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from anonymizer.backoff import Backoff
from anonymizer.clock import Clock
from anonymizer.lifecycle import Resource
from anonymizer.pipeline.actor import CameraActor
from anonymizer.pipeline.assembly import make_core
from anonymizer.pipeline.camera import CameraCore
from anonymizer.pipeline.capturing import CaptureStage
from anonymizer.pipeline.encoding import EncodeStage
from anonymizer.pipeline.inference import InferenceStage
from anonymizer.pipeline.status import StatusCell
from anonymizer.policy import Permit
from anonymizer.ports import Encoder, FrameSink, Meter, PacketSink, Source
from anonymizer.settings.schema import PrivacySettings, RedactSettings, TrackSettings
from anonymizer.types import AuditFinding, CameraStatus, Stage

_SAFE_WITHIN_S = 6.0  # a camera counts as publishing while its newest output is younger than this
_CONNECTION_NS = 1_000_000  # no two connections of a camera are begun within that time
_RECONNECT_BASE_S = 0.5
_RECONNECT_CAP_S = 6.0
_LOGIN_BASE_S = 30.0
_LOGIN_CAP_S = 600.0


@dataclass(frozen=True, slots=True)
class LineSettings:
    """What one camera needs of the YAML."""

    privacy: PrivacySettings
    redact: RedactSettings
    track: TrackSettings
    silence_limit_s: float  # longest that opening or reading may block
    reconnects: bool  # False: a file that plays once
    permit: Permit | None = None  # None: nobody stays visible


@dataclass(frozen=True, slots=True)
class LineParts:
    """The concrete edges that the composition root picked for one camera."""

    open_source: Callable[[int, int], Source]  # first epoch, first sequence number
    make_encoder: Callable[[], Encoder]
    packets: PacketSink
    views: tuple[FrameSink, ...]  # besides the encoder


@dataclass(slots=True)
class _Crash:
    """Which stage of one start died; a thread that an earlier start left behind reports to its own."""

    stage: Stage | None = None


class CameraLine(Resource):
    """Owns the stages of one camera; can be started again after a crash, with fresh stages and a new epoch."""

    def __init__(
        self,
        camera_id: str,
        settings: LineSettings,
        parts: LineParts,
        *,
        inference: InferenceStage,
        meter: Meter,
        clock: Clock,
    ) -> None:
        self._camera_id = camera_id
        self._settings = settings
        self._parts = parts
        self._inference = inference
        self._meter = meter
        self._clock = clock
        self._status = StatusCell(camera_id, clock)
        self._crash = _Crash()
        self._capture: CaptureStage | None = None
        self._actor: CameraActor | None = None
        self._encode: EncodeStage | None = None

    @property
    def camera_id(self) -> str:
        """The id from the YAML."""
        return self._camera_id

    def start(self) -> None:
        """Make and start all stages, sinks first."""
        self._crash = crash = _Crash()

        def on_crash(stage: Stage) -> None:
            """In the crashed thread: no frame goes in any more, so none comes out; the supervisor does the rest."""
            crash.stage = stage
            capture.ask_to_stop()

        encode = EncodeStage(
            self._camera_id,
            self._parts.make_encoder,
            self._parts.packets,
            on_crash=partial(on_crash, Stage.ENCODE),
            status=self._status,
            meter=self._meter,
            clock=self._clock,
        )
        actor = CameraActor(
            self._camera_id,
            self._make_core(encode),
            on_crash=partial(on_crash, Stage.REDACT),
            meter=self._meter,
            clock=self._clock,
        )
        capture = CaptureStage(
            self._camera_id,
            self._parts.open_source,
            on_frame=actor.on_frame,
            on_link=actor.on_control,
            on_crash=partial(on_crash, Stage.CAPTURE),
            backoff=Backoff(_RECONNECT_BASE_S, _RECONNECT_CAP_S, random.Random()),  # noqa: S311 - jitter
            login_backoff=Backoff(_LOGIN_BASE_S, _LOGIN_CAP_S, random.Random()),  # noqa: S311 - jitter
            meter=self._meter,
            clock=self._clock,
            status=self._status,
            silence_limit_s=self._settings.silence_limit_s,
            reconnects=self._settings.reconnects,
            # By the clock, so that it is new to lines of this id after a reload, too: a thread that was left behind may
            # still ask for its frame, and its answer must not pass for that of a frame of ours.
            first_connection=self._clock.now_ns() // _CONNECTION_NS,
        )
        self._encode, self._actor, self._capture = encode, actor, capture
        self._inference.attach(self._camera_id, actor.on_control)
        encode.start()
        actor.start()
        capture.start()

    def close(self) -> None:
        """Stop capture first, the encoder last; idempotent."""
        if self._capture is not None:
            self._capture.close()
        self._inference.detach(self._camera_id)
        if self._actor is not None:
            self._actor.close()
        if self._encode is not None:
            self._encode.close()
        self._capture = self._actor = self._encode = None

    def restart(self) -> None:
        """Replace all stages after a crash or a stall."""
        self._meter.restart(self._camera_id, self.ailing() or Stage.CAPTURE)
        self._status.restarted()
        self.close()
        self.start()

    def on_finding(self, finding: AuditFinding) -> None:
        """From the audit: a published picture showed a face outside the masks."""
        actor = self._actor
        if actor is not None:
            actor.on_control(finding)

    def ailing(self) -> Stage | None:
        """The stage that crashed or stopped beating; None: all are well."""
        stages = {Stage.CAPTURE: self._capture, Stage.REDACT: self._actor, Stage.ENCODE: self._encode}
        still = (name for name, stage in stages.items() if stage is None or not stage.alive())
        return self._crash.stage or next(still, None)

    def publishing(self) -> bool:
        """True while something safe came out lately."""
        published_ns = self._status.read().published_ns
        return published_ns is not None and self._clock.now_ns() - published_ns <= _SAFE_WITHIN_S * 1e9

    def status(self) -> CameraStatus:
        """What the camera is doing now."""
        return self._status.read()

    def _make_core(self, encode: EncodeStage) -> CameraCore:
        settings = self._settings
        return make_core(
            self._camera_id,
            settings.privacy,
            settings.redact,
            settings.track,
            submit=self._inference.submit,
            sinks=(encode, *self._parts.views),
            meter=self._meter,
            clock=self._clock,
            status=self._status,
            permit=settings.permit,
        )
