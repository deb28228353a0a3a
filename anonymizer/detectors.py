"""Which models make up the detector that the settings ask for."""

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
from anonymizer.zoo import AttentionSpec, FileSpec, ModelSpec, Order, Zoo


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
    """A detector for each target; the manifest is read anew, so that a repaired models folder is picked up.

    `reaches` are those of the cameras, by id, that look for faces in tiles as well; persons are large enough to be
    found in the whole frame, and tiles cut them apart. `strict` are the cameras in that mode: half the score is enough
    there. Attention looks at their frames, and where a budget makes tiles take turns. `is_flat`: small ones need the
    whole score, too, for whoever must be sure of what is found, or judges the scores.
    Raises ModelError for a model that is unknown, missing, altered, does harm, or finds something else.
    """
    zoo = Zoo(settings.models_dir)
    wanted = {
        Target.FACE: (settings.face_model, settings.face_threshold),
        Target.PERSON: (settings.person_model, settings.person_threshold),
    }
    needed = sorted({name.target for name in targets}, reverse=True)
    try_strangers(zoo, [wanted[target][0] for target in needed], settings)
    scout: Scout | None = None
    detectors = []
    for target in needed:
        name, threshold = wanted[target]
        spec = finder(zoo, name, target)
        least = spec.threshold if threshold is None else threshold
        limits = Limits(least, settings.nms_iou, settings.max_detections, is_flat=is_flat)
        delegate = Delegate.of(settings)
        if target is Target.FACE and reaches:
            scout = Scout(face_eye(spec), reaches, budget_ms=settings.budget_ms)
        detectors.append(
            TfliteDetector(
                detector_model(spec),
                limits,
                threads=settings.threads,
                delegate=delegate,
                clock=clock,
                meter=meter,
                scout=scout if target is Target.FACE else None,
                strict=strict,
            )
        )
    together = CompositeDetector(detectors)
    watched = strict if settings.budget_ms is None else strict | reaches.keys()
    if settings.attention == OFF or not watched:
        return together
    model = attention_model(zoo.attentions.verify(settings.attention))
    attention = Attention(model, threads=settings.threads, meter=meter, delegate=None)
    return AttentiveDetector(together, attention, cameras=watched, scout=scout, clock=clock, meter=meter)


def finder(zoo: Zoo, name: str, target: Target) -> ModelSpec:
    """The model of that name, verified; raises ModelError, also for one that finds something else.

    A model of persons in the place of the face model works well, and leaves every face bare.
    """
    spec = zoo.detectors.verify(name)
    if target not in spec.classes:
        what = f"{target.name.lower()}s"
        fitting = " or ".join(other for other in zoo.detectors.names() if target in zoo.detectors.spec(other).classes)
        raise ModelError(f"model {name} finds no {what}, all of which would stay bare; set another: {fitting}")
    return spec


def try_strangers(zoo: Zoo, names: Iterable[str], settings: DetectSettings) -> None:
    """Load the models that did not come with the program in a child process first; raises ModelError."""
    strangers = [zoo.detectors.verify(name) for name in names if not zoo.is_shipped(name)]
    if strangers:
        with Quarantine() as quarantine:
            for spec in strangers:
                quarantine.load(detector_model(spec), threads=settings.threads, delegate=Delegate.of(settings))


def detector_model(spec: ModelSpec) -> DetectorModel:
    """What the detector must know of a model of the manifest."""
    return DetectorModel(
        name=spec.name,
        path=spec.path,
        family=spec.family,
        targets=spec.classes,
        size=Size(spec.input.width, spec.input.height),
        fit=spec.input.fit,
        mean=spec.input.mean,
        scale=spec.input.scale,
        bgr=spec.input.order is Order.BGR,
        self_test=None if spec.self_test is None else SelfTest(**dict(spec.self_test)),
    )


def attention_model(spec: AttentionSpec) -> AttentionModel:
    """What attention must know of a model of the manifest."""
    return AttentionModel(
        name=spec.name,
        path=spec.path,
        size=Size(spec.input.width, spec.input.height),
        mean=spec.input.mean,
        scale=spec.input.scale,
        bgr=spec.input.order is Order.BGR,
        hot_logit=spec.hot_logit,
        self_test=AttentionTest(**dict(spec.self_test)),
    )


def face_eye(spec: ModelSpec) -> Eye:
    """What the planner of tiles must know of a face model; raises ModelError where the manifest does not say it."""
    if spec.min_face_px is None:
        raise ModelError(
            f"model {spec.name} cannot search tiles: its entry in the manifest lacks min_face_px, the height in input "
            "pixels of the smallest face that it finds well; measure and add it, or leave out reach_px"
        )
    return Eye(Size(spec.input.width, spec.input.height), spec.input.fit, spec.min_face_px)


def track_of(settings: Settings, camera_id: str) -> TrackSettings:
    """How a camera's people are followed; where tiles take turns no view rests, for no single look sees all of it."""
    takes_turns = settings.detect.budget_ms is not None and camera_id in reaches_of(settings)
    return settings.track.model_copy(update={"quiet_looks_per_s": EVERY_PICTURE}) if takes_turns else settings.track


def reaches_of(settings: Settings) -> dict[str, Reach]:
    """The cameras, by id, whose faces are searched in tiles."""
    reaches = {}
    for camera in settings.cameras:
        privacy, reach_px = camera.privacy or settings.privacy, camera.reach_px or settings.detect.reach_px
        if reach_px is not None and TargetName.FACE in privacy.targets:
            reaches[camera.id] = Reach(reach_px, privacy.max_detection_age_ms, privacy.hold_ms)
    return reaches


def strict_of(settings: Settings) -> frozenset[str]:
    """The cameras, by id, in mode strict."""
    return frozenset(
        camera.id for camera in settings.cameras if (camera.privacy or settings.privacy).mode is Mode.STRICT
    )


def targets_of(settings: Settings) -> frozenset[TargetName]:
    """What any camera masks: models that nobody needs are not run."""
    sections = [camera.privacy or settings.privacy for camera in settings.cameras] or [settings.privacy]
    return frozenset(target for section in sections for target in section.targets)


def proofs_of(settings: Settings, zoo: Zoo) -> Iterator[tuple[str, Callable[[], FileSpec]]]:
    """Every model that the settings have loaded, by name, with what verifies it or raises ModelError."""
    detect, audit = settings.detect, settings.audit
    yield detect.face_model, partial(finder, zoo, detect.face_model, Target.FACE)
    yield detect.person_model, partial(finder, zoo, detect.person_model, Target.PERSON)
    if audit.enabled:
        yield audit.model, partial(finder, zoo, audit.model, Target.FACE)
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
