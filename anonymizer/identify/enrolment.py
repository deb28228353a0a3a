"""Makes the templates by which cameras recognise a person, from photos."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anonymizer.errors import GalleryError
from anonymizer.identify.calibration import OTHER_DISTANCE
from anonymizer.identify.embedder import ASYMMETRY, FaceEmbedder, distances
from anonymizer.identify.gallery import Person
from anonymizer.identify.portrait import Find, find_portrait, look_of, templates_of
from anonymizer.types import F32


def make_person(
    name: str,
    photos: Sequence[Path],
    *,
    alias: str,
    today: datetime.date,
    consent_until: datetime.date,
    model: str,
    find: Find,
    embedder: FaceEmbedder,
    least_px: float,
) -> tuple[Person, list[str]]:
    """A person with the templates of their photos, and a sentence for each photo that could not be used.

    Photos are not kept. `embedder` is the one that `model` names, `find` detects faces. Raises GalleryError if no photo
    can be used, if they show different people, or if the consent has ended already.
    """
    if consent_until < today:
        raise GalleryError(f"the consent ended on {consent_until}; today is {today}")
    templates: dict[Path, F32] = {}
    complaints = []
    for photo in photos:
        try:
            portrait = find_portrait(photo, find, least_px)
            if look_of(portrait, embedder).asymmetry > ASYMMETRY:
                raise GalleryError(f"{photo}: the face is not seen well from the front; take another photo")
            templates[photo] = templates_of(portrait, embedder)
        except GalleryError as error:
            complaints.append(str(error))
    if strangers := _odd_ones_out(templates):
        raise GalleryError("\n".join(complaints + strangers))
    if not templates:
        raise GalleryError("\n".join(complaints))
    person = Person(name, alias, today, consent_until, model, np.concatenate(list(templates.values())))
    return person, complaints


def _odd_ones_out(templates: dict[Path, F32]) -> list[str]:
    """A sentence for each photo that is like none of the others."""
    sentences = []
    for photo, own in templates.items():
        others = [each for other, each in templates.items() if other != photo]
        if others and distances(own[0], np.concatenate(others)).min() >= OTHER_DISTANCE:
            sentences.append(f"{photo}: shows somebody who looks unlike the other photos; leave it out")
    return sentences
