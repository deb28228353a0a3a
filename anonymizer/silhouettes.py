"""Which cameras show silhouettes, and the model that draws them."""

from __future__ import annotations

from collections.abc import Iterator

from anonymizer import __version__
from anonymizer.clock import Clock
from anonymizer.detect.silhouette import SilhouetteModel, SilhouetteTest, Silhouettist
from anonymizer.detect.tracing import TracingDetector
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.ports import Detector, Meter
from anonymizer.settings.schema import Settings, masks_by_shape
from anonymizer.types import Effect, Size
from anonymizer.zoo import SilhouetteSpec, Zoo

MODEL = "pose-silhouette-float32"


def tracing(detector: Detector, settings: Settings, *, clock: Clock, meter: Meter) -> Detector:
    """The detector, with silhouettes drawn for the cameras that use them; raises ModelError."""
    cameras = silhouettes_of(settings)
    if not cameras:
        return detector
    spec = Zoo(settings.detect.models_dir).silhouettes.verify(MODEL)
    silhouettist = Silhouettist(silhouette_model(spec), threads=settings.detect.threads, meter=meter)
    budget_ms = settings.detect.silhouette_budget_ms
    return TracingDetector(detector, silhouettist, cameras=cameras, budget_ms=budget_ms, clock=clock, meter=meter)


def silhouettes_of(settings: Settings) -> frozenset[str]:
    """Ids of the cameras that mask persons by their shape."""
    return frozenset(
        camera.id
        for camera in settings.cameras
        if masks_by_shape(camera.privacy or settings.privacy, camera.redact or settings.redact)
    )


def misplaced(settings: Settings) -> Iterator[str]:
    """One sentence for each setting that makes the effect silhouette a mere fill, or a box in some pictures."""
    for camera in settings.cameras:
        redact, privacy = camera.redact or settings.redact, camera.privacy or settings.privacy
        by_shape = masks_by_shape(privacy, redact)
        if redact.person.effect is Effect.SILHOUETTE and not by_shape:
            yield (
                f"camera {camera.id}: redact.person.effect is silhouette, but privacy.targets names no person, so "
                "nobody is masked by shape; add person to the targets"
            )
        elif by_shape and settings.track.looks_per_s is not None:
            yield (
                f"camera {camera.id}: people are masked by shape only in pictures that the models look at, "
                f"{settings.track.looks_per_s:g} a second (track.looks_per_s), and by boxes in the others; leave "
                "track.looks_per_s empty, and they look at every picture"
            )
        others = {"face": redact.face.effect, "head": redact.head.effect, "zone": redact.zone_effect}
        for name, effect in others.items():
            if effect is Effect.SILHOUETTE:
                yield f"camera {camera.id}: the effect silhouette of a {name} is fill: only persons have a shape"


def silhouette_model(spec: SilhouetteSpec) -> SilhouetteModel:
    """A model of the manifest as the silhouettist takes it."""
    return SilhouetteModel(
        name=spec.name,
        path=spec.path,
        size=Size(spec.input.width, spec.input.height),
        mean=spec.input.mean,
        scale=spec.input.scale,
        self_test=SilhouetteTest(**dict(spec.self_test)),
    )


def verify_silhouette(zoo: Zoo, name: str) -> str:
    """Compare a silhouette model's file with the manifest, load it, and let it draw the person in a portrait.

    Returns what was proven; raises ModelError.
    """
    spec = zoo.silhouettes.verify(name)
    with Silhouettist(silhouette_model(spec), threads=1, meter=PrometheusMeter(version=__version__, runtime="")):
        return f"{spec.size_bytes / 1e6:.1f} MB, draws the person it must, sha256 matches"
