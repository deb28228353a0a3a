"""Recognising people, put together: who may stay visible where, what votes on it, and the commands of `enroll`."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path

from anonymizer.clock import Clock
from anonymizer.detectors import make_detector
from anonymizer.errors import GalleryError, SettingsError
from anonymizer.identify.calibration import MODEL, OTHER_DISTANCE, distance_at
from anonymizer.identify.enrolment import make_person
from anonymizer.identify.gallery import Gallery, unknown
from anonymizer.identify.portrait import SURE_SCORE
from anonymizer.identify.recogniser import Demands, RecognisingDetector
from anonymizer.models import make_embedder
from anonymizer.policy import STAYS, Permit
from anonymizer.ports import Detector, Meter
from anonymizer.settings.identities import IdentifySettings, IdentitiesSettings, checked_name
from anonymizer.settings.schema import Settings, TargetName
from anonymizer.zoo import Zoo

NEAR = 10  # factor on the false accept rate for votes that only continue what surer votes began


def permit_of(identities: IdentitiesSettings, identify: IdentifySettings) -> Permit | None:
    """Who may stay visible on a camera; None: nobody."""
    if not identities.names:
        return None
    return Permit(
        names=frozenset(identities.names),
        inverted=bool(identities.only_redact),
        same_distance=distance_at(identify.false_accept_rate),
        near_distance=distance_at(min(NEAR * identify.false_accept_rate, 0.01)),
        other_distance=OTHER_DISTANCE,
        least_face_px=identify.min_face_px,
    )


def recognising(detector: Detector, settings: Settings, *, clock: Clock, meter: Meter) -> Detector:
    """The detector, with votes on the cameras that recognise somebody; raises ModelError."""
    cameras = names_of(settings)
    if not cameras:
        return detector
    identify = settings.identify
    return RecognisingDetector(
        detector,
        make_embedder(Zoo(settings.detect.models_dir).embedders.verify(MODEL)),
        gallery_of(identify),
        model=MODEL,
        cameras=cameras,
        demands=Demands(identify.min_face_px, STAYS * identify.min_face_px, identify.interval_ms * 1_000_000),
        clock=clock,
        meter=meter,
    )


def names_of(settings: Settings) -> dict[str, tuple[str, ...]]:
    """By id, the cameras that recognise somebody, with the names of the people."""
    return {camera.id: camera.identities.names for camera in settings.cameras if camera.identities.names}


def gallery_of(identify: IdentifySettings) -> Gallery:
    """The gallery that the settings name."""
    return Gallery(identify.gallery, identify.key_file)


def faults_of(settings: Settings, clock: Clock) -> list[str]:
    """A sentence for each name in the settings that nobody is enrolled under, or whose consent has ended.

    Those people are masked although the settings would leave them visible.
    """
    cameras = names_of(settings)
    try:
        people = gallery_of(settings.identify).people() if cameras else ()
    except GalleryError as error:
        return [str(error)]
    today = today_of(clock)
    faults = []
    for camera_id, names in cameras.items():
        faults += [f"camera {camera_id}: {sentence}" for sentence in unknown(names, people)]
        for person in people:
            if person.name in names and not person.consents(today):
                faults.append(f"camera {camera_id}: {person.name} agreed until {person.consent_until}; enroll anew")
    return faults


def today_of(clock: Clock) -> datetime.date:
    """The day on this machine's clock."""
    return datetime.date.fromtimestamp(clock.wall_ns() / 1e9)


def enroll(
    settings: Settings,
    name: str,
    photos: Sequence[Path],
    *,
    until: datetime.date,
    alias: str | None,
    clock: Clock,
    meter: Meter,
) -> str:
    """Enroll somebody, replacing who had the name before; returns what to tell the user.

    Raises GalleryError, SettingsError, ModelError.
    """
    for given in (name, alias or name):
        try:
            checked_name(given)
        except ValueError as error:
            raise SettingsError(f"{given!r} {error}") from None
    gallery = gallery_of(settings.identify)
    detect = settings.detect.model_copy(update={"face_threshold": SURE_SCORE, "budget_ms": None})
    detector = make_detector(detect, frozenset({TargetName.FACE}), is_flat=True, clock=clock, meter=meter)
    with detector, make_embedder(Zoo(settings.detect.models_dir).embedders.verify(MODEL)) as embedder:
        person, complaints = make_person(
            name,
            photos,
            alias=alias or name,
            today=today_of(clock),
            consent_until=until,
            model=MODEL,
            find=detector.detect,
            embedder=embedder,
            least_px=settings.identify.min_face_px,
        )
    gallery.put(person)
    used = len(photos) - len(complaints)
    photos_text = "1 photo" if used == 1 else f"{used} photos"
    lines = (
        *complaints,
        f"{name} is enrolled until {until}: {len(person.templates)} templates from {photos_text}; no photo was kept",
        f"name a camera where they may be seen:\n  identities:\n    keep_visible: [{name}]",
    )
    return "\n".join(lines)


def enrolled(settings: Settings, today: datetime.date) -> Iterator[str]:
    """A line for everybody enrolled; raises GalleryError."""
    row = "{:24} {:24} {:12} {:12} {}".format
    yield row("name", "in logs", "enrolled", "until", "templates").rstrip()
    for person in gallery_of(settings.identify).people():
        ended = "" if person.consents(today) else "  (consent ended: is masked)"
        yield (
            row(person.name, person.alias, str(person.enrolled), str(person.consent_until), len(person.templates))
            + ended
        )


def remove(settings: Settings, name: str) -> str:
    """Forget somebody; raises GalleryError."""
    gallery_of(settings.identify).remove(name)
    return f"{name} is forgotten, and masked from now on by a daemon that runs as well"
