"""The parts of the daemon that `anonymizer evaluate` measures, put together as the daemon does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from anonymizer.audit import make_auditing_detector
from anonymizer.capture import open_source
from anonymizer.clock import Clock, SystemClock
from anonymizer.detect.scout import Reach
from anonymizer.detectors import make_detector
from anonymizer.errors import ModelError
from anonymizer.evaluate.command import WantedDetector
from anonymizer.evaluate.trial import CAMERA_ID
from anonymizer.pipeline.assembly import make_core
from anonymizer.pipeline.camera import CameraCore
from anonymizer.pipeline.status import StatusCell
from anonymizer.ports import Detector, FrameSink, Meter, Source
from anonymizer.settings.schema import CameraSettings, PrivacySettings, Settings, TargetName
from anonymizer.types import Frame, Target
from anonymizer.zoo import ModelSpec, Zoo

NO_HURRY_MS = 3_600_000  # for one picture: every tile is searched, however slow the device
_CAMERA_ID = "evaluate"


class PictureStudio:
    """Detectors for the labelled pictures of `evaluate detect`."""

    def __init__(self, settings: Settings, meter: Meter) -> None:
        self._settings = settings
        self._meter = meter

    def detector(self, wanted: WantedDetector) -> Detector:
        """One model on one thread, all tiles of a picture at once; not started; raises ModelError."""
        candidate, target = wanted.candidate, TargetName[wanted.target.name]
        if wanted.target not in self._spec(candidate.model).classes:
            raise ModelError(
                f"model {candidate.model} does not find what the labels show: choose another --model or --target"
            )
        if candidate.reach_px is not None and target is not TargetName.FACE:
            raise ModelError(f"{candidate}: only faces are searched in tiles: leave out @{candidate.reach_px}")
        reaches = {}
        if candidate.reach_px is not None:
            reaches[CAMERA_ID] = Reach(candidate.reach_px, NO_HURRY_MS, NO_HURRY_MS)
        detect = self._settings.detect.model_copy(
            update={
                f"{target}_model": candidate.model,
                f"{target}_threshold": wanted.threshold,
                "max_detections": wanted.max_detections,
                "threads": 1,
                "budget_ms": NO_HURRY_MS,
            }
        )
        return make_detector(
            detect,
            frozenset({target}),
            reaches=reaches,
            is_flat=wanted.is_flat,
            clock=SystemClock(),
            meter=self._meter,
        )

    def threshold(self, model: str) -> float:
        """The threshold of a model's manifest; raises ModelError."""
        return self._spec(model).threshold

    def _spec(self, model: str) -> ModelSpec:
        return Zoo(self._settings.detect.models_dir).detectors.spec(model)


class RehearsalStudio:
    """An `evaluate.video` Studio around the real source, detector and core."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def source(self, clip: Path) -> Source:
        """The clip, read as fast as possible; not started."""
        camera = CameraSettings(id=_CAMERA_ID, url=clip.resolve().as_uri(), loop=False)
        return open_source(camera, epoch=0, first_seq=0, clock=SystemClock(), meter=self._meter, paced=False)

    def detector(self, settings: Settings, target: Target, *, strict: bool) -> Detector:
        """Of one target, on one thread, in tiles if the settings say so; not started; raises ModelError."""
        detect, privacy = settings.detect.model_copy(update={"threads": 1}), settings.privacy
        targets = frozenset({TargetName[target.name]})
        cameras = frozenset({_CAMERA_ID}) if strict else frozenset[str]()
        reaches = {}
        if detect.reach_px is not None and target is Target.FACE:
            reaches[_CAMERA_ID] = Reach(detect.reach_px, privacy.max_detection_age_ms, privacy.hold_ms)
        return make_detector(detect, targets, reaches=reaches, strict=cameras, clock=SystemClock(), meter=self._meter)

    def auditor(self, settings: Settings) -> Detector:
        """The second model; not started; raises ModelError."""
        return make_auditing_detector(settings, clock=SystemClock(), meter=self._meter)

    def core(
        self,
        settings: Settings,
        privacy: PrivacySettings,
        *,
        submit: Callable[[Frame], None],
        sink: FrameSink,
        clock: Clock,
    ) -> CameraCore:
        """The core of a camera."""
        return make_core(
            _CAMERA_ID,
            privacy,
            settings.redact,
            settings.track,
            submit=submit,
            sinks=(sink,),
            meter=self._meter,
            clock=clock,
            status=StatusCell(_CAMERA_ID, clock),
        )
