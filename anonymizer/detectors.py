"""Puts the detector together that the settings ask for, from the models of the zoo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import MappingProxyType

from anonymizer import silhouettes
from anonymizer.clock import Clock
from anonymizer.detect.attention import Attention, AttentionModel, AttentionTest
from anonymizer.detect.attentive import AttentiveDetector
from anonymizer.detect.delegates import Delegate
from anonymizer.detect.detector import CompositeDetector, DetectorModel, TfliteDetector
from anonymizer.detect.limits import Limits
from anonymizer.detect.reach import Eye
from anonymizer.detect.scout import Reach, Scout
from anonymizer.detect.self_test import SelfTest
from anonymizer.errors import ModelError
from anonymizer.identify.calibration import MODEL
from anonymizer.ports import Meter
from anonymizer.quarantine import Quarantine
from anonymizer.settings.schema import EVERY_PICTURE, OFF, DetectSettings, Mode, Settings, TargetName, TrackSettings
from anonymizer.types import Size, Target
from anonymizer.zoo import AttentionSpec, ChannelOrder, FileSpec, ModelSpec, Zoo


def make_detector(
    settings: DetectSettings,
    targets: frozenset[TargetName],
    *,
    reaches: Mapping[str, Reach] = MappingProxyType({}),
    strict: frozenset[str] = frozenset(),
    is_flat: bool = False,
    clock: Clock,
    meter: Meter,
) -> CompositeDetector | AttentiveDetector:
    """One detector of all targets, not started; the manifest is read anew, so that a repaired models folder counts.

    `reaches`: by id, the cameras whose faces are also searched in tiles; persons are large enough to be found in the
    whole frame, and tiles would cut them apart. `strict`: ids of the cameras in mode strict, where half of the
    threshold is enough and attention looks at the frames; with a budget it also looks at frames in tiles, to order
    them. `is_flat`: the threshold is the same at every height, for uses that need certain detections or judge scores.
    Raises ModelError for a model that is unknown, missing, altered, does harm, or detects something else.
    """
    zoo = Zoo(settings.models_dir)
    configured = {
        Target.FACE: (settings.face_model, settings.face_threshold),
        Target.PERSON: (settings.person_model, settings.person_threshold),
    }
    needed = sorted({name.target for name in targets}, reverse=True)
    try_in_quarantine(zoo, [configured[target][0] for target in needed], settings)
    scout: Scout | None = None
    detectors = []
    for target in needed:
        name, threshold = configured[target]
        spec = verified(zoo, name, target)
        whole_threshold = spec.threshold if threshold is None else threshold
        if target is Target.FACE and reaches:
            scout = Scout(face_eye(spec), reaches, budget_ms=settings.budget_ms)
        detectors.append(
            TfliteDetector(
                detector_model(spec),
                Limits(
                    whole_threshold,
                    settings.nms_iou,
                    settings.max_detections,
                    is_flat=is_flat,
                    near_share=spec.near_share,
                ),
                threads=settings.threads,
                delegate=Delegate.of(settings),
                clock=clock,
                meter=meter,
                scout=scout if target is Target.FACE else None,
                strict=strict,
            )
        )
    detector = CompositeDetector(detectors)
    watched = strict if settings.budget_ms is None else strict | reaches.keys()
    if settings.attention == OFF or not watched:
        return detector
    model = attention_model(zoo.attentions.verify(settings.attention))
    attention = Attention(model, threads=settings.threads, meter=meter, delegate=None)
    return AttentiveDetector(detector, attention, cameras=watched, scout=scout, clock=clock, meter=meter)


def verified(zoo: Zoo, name: str, target: Target) -> ModelSpec:
    """The model of that name, after comparing its file with the manifest; raises ModelError.

    Also for a model that does not detect the target: a person model in the place of the face model would run without
    complaint and leave every face bare.
    """
    spec = zoo.detectors.verify(name)
    if target not in spec.classes:
        what = f"{target.name.lower()}s"
        fitting = " or ".join(other for other in zoo.detectors.names() if target in zoo.detectors.spec(other).classes)
        raise ModelError(f"model {name} finds no {what}, all of which would stay bare; set another: {fitting}")
    return spec


def try_in_quarantine(zoo: Zoo, names: Iterable[str], settings: DetectSettings) -> None:
    """Load those of the models that did not come with the program in a child process first; raises ModelError."""
    strangers = [zoo.detectors.verify(name) for name in names if not zoo.is_shipped(name)]
    if strangers:
        with Quarantine() as quarantine:
            for spec in strangers:
                quarantine.load(detector_model(spec), threads=settings.threads, delegate=Delegate.of(settings))


def detector_model(spec: ModelSpec) -> DetectorModel:
    """A model of the manifest as the detector takes it."""
    return DetectorModel(
        name=spec.name,
        path=spec.path,
        family=spec.family,
        targets=spec.classes,
        size=Size(spec.input.width, spec.input.height),
        fit=spec.input.fit,
        mean=spec.input.mean,
        scale=spec.input.scale,
        bgr=spec.input.order is ChannelOrder.BGR,
        has_forms=spec.has_forms,
        self_test=None if spec.self_test is None else SelfTest(**dict(spec.self_test)),
    )


def attention_model(spec: AttentionSpec) -> AttentionModel:
    """A model of the manifest as attention takes it."""
    return AttentionModel(
        name=spec.name,
        path=spec.path,
        size=Size(spec.input.width, spec.input.height),
        mean=spec.input.mean,
        scale=spec.input.scale,
        bgr=spec.input.order is ChannelOrder.BGR,
        hot_logit=spec.hot_logit,
        self_test=AttentionTest(**dict(spec.self_test)),
    )


def face_eye(spec: ModelSpec) -> Eye:
    """What the plan of tiles needs to know of a face model; raises ModelError if its manifest lacks min_face_px."""
    if spec.min_face_px is None:
        raise ModelError(
            f"model {spec.name} cannot search tiles: its entry in the manifest lacks min_face_px, the height in input "
            "pixels of the smallest face that it finds well; measure and add it, or leave out reach_px"
        )
    return Eye(Size(spec.input.width, spec.input.height), spec.input.fit, spec.min_face_px, spec.has_forms)


def track_of(settings: Settings, camera_id: str) -> TrackSettings:
    """The settings of a camera's tracker.

    Where tiles take turns, a view that stands still is looked at no less often, for no single look sees all of it.
    """
    takes_turns = settings.detect.budget_ms is not None and camera_id in reaches_of(settings)
    return settings.track.model_copy(update={"quiet_looks_per_s": EVERY_PICTURE}) if takes_turns else settings.track


def reaches_of(settings: Settings) -> dict[str, Reach]:
    """By id, the cameras whose faces are searched in tiles, with the smallest face to be found."""
    reaches = {}
    for camera in settings.cameras:
        privacy, reach_px = camera.privacy or settings.privacy, camera.reach_px or settings.detect.reach_px
        if reach_px is not None and TargetName.FACE in privacy.targets:
            reaches[camera.id] = Reach(reach_px, privacy.max_detection_age_ms, privacy.hold_ms)
    return reaches


def strict_of(settings: Settings) -> frozenset[str]:
    """Ids of the cameras in mode strict."""
    return frozenset(
        camera.id for camera in settings.cameras if (camera.privacy or settings.privacy).mode is Mode.STRICT
    )


def targets_of(settings: Settings) -> frozenset[TargetName]:
    """What at least one camera masks; models of other targets need not run."""
    sections = [camera.privacy or settings.privacy for camera in settings.cameras] or [settings.privacy]
    return frozenset(target for section in sections for target in section.targets)


def proofs_of(settings: Settings, zoo: Zoo) -> Iterator[tuple[str, Callable[[], FileSpec]]]:
    """Name of every model that these settings use, and a function that verifies its file or raises ModelError."""
    detect, audit = settings.detect, settings.audit
    yield detect.face_model, partial(verified, zoo, detect.face_model, Target.FACE)
    yield detect.person_model, partial(verified, zoo, detect.person_model, Target.PERSON)
    if audit.enabled:
        yield audit.model, partial(verified, zoo, audit.model, Target.FACE)
    if detect.attention != OFF:
        yield detect.attention, partial(zoo.attentions.verify, detect.attention)
    if any(camera.identities.names for camera in settings.cameras):
        yield MODEL, partial(zoo.embedders.verify, MODEL)
    if silhouettes.silhouettes_of(settings):
        yield silhouettes.MODEL, partial(zoo.silhouettes.verify, silhouettes.MODEL)


def check_models(settings: Settings) -> None:
    """Raises ModelError for a model that is unknown, missing, altered or in the wrong place, or cannot search tiles."""
    zoo = Zoo(settings.detect.models_dir)
    for _, verify in proofs_of(settings, zoo):
        verify()
    if reaches_of(settings):
        face_eye(zoo.detectors.spec(settings.detect.face_model))
