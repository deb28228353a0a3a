"""What is around a filled face is measured as it is published: nothing of the face counts, the place does."""

from __future__ import annotations

import numpy as np

from anonymizer.attack.people import Face
from anonymizer.types import F32, U8
from scripts.bench.surroundings import as_lines, attacks

PEOPLE, PICTURES = 4, 4


def embed(chip: U8) -> F32:
    """An embedder that sees colours."""
    return np.asarray(chip.mean(axis=(0, 1)), np.float32)


def portrait(face: int, place: int, person: int) -> Face:
    """A face of one colour in a place of another."""
    colours = np.random.default_rng(1).integers(0, 256, (PEOPLE * PICTURES, 3), dtype=np.uint8)
    window = np.empty((240, 240, 3), np.uint8)
    window[:] = colours[place]
    window[80:160, 85:155] = colours[face]
    return Face(f"p{person}", "x", window, (85, 80, 155, 160))


def named(faces: list[Face]) -> dict[str, float]:
    return {what: float((places == 0).mean()) for what, places in attacks(faces, 96, embed).items()}


def test_who_stands_in_a_place_of_his_own_is_named_behind_fill() -> None:
    shares = named([portrait(0, person, person) for person in range(PEOPLE) for _ in range(PICTURES)])
    assert shares["all around the face"] == shares["above it"] == shares["below it"] == 1.0


def test_whose_face_alone_is_his_own_is_not() -> None:
    faces = [portrait(person, 0, person) for person in range(PEOPLE) for _ in range(PICTURES)]
    shares = named(faces)
    assert shares["all around the face"] == shares["how wide the mask is for its height"] == 1 / PEOPLE
    lines = as_lines(attacks(faces, 96, embed), faces)
    assert lines[0] == "| 16 faces of 4 people; who guesses names 25.0 % | named right |"
    assert lines[2] == "| all around the face | 25 % (10-49) |"
