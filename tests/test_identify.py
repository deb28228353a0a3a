"""Faces to numbers: what is cut out of a frame, and what the embedder answers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import cv2
import numpy as np
import pytest

from anonymizer import models
from anonymizer.detect.self_test import read_picture
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.identify.chip import DROP, SIDE, cut_chip
from anonymizer.identify.embedder import FaceEmbedder, distances
from anonymizer.types import F32, U8, Colour, Planes, Size, Target
from anonymizer.zoo import PICTURES, Zoo
from tests.fakes import make_planes

FULL_RANGE = Colour(full_range=True, bt709=False)
Box = tuple[float, float, float, float]


class FakeModel:
    """A picture model that answers what a test wants."""

    def __init__(self, answer: F32, width: int = 150, height: int = 150) -> None:
        self.input_size = Size(width, height)
        self.answer = answer
        self.seen: list[U8] = []
        self.loaded = False

    def start(self) -> None:
        self.loaded = True

    def run(self, rgb: U8) -> Mapping[str, F32]:
        self.seen.append(rgb)
        return {"embedding": self.answer}

    def close(self) -> None:
        self.loaded = False


UNIT = np.eye(1, 128, dtype=np.float32)


def ramp(width: int, height: int) -> Planes:
    """Luma rises to the right, chroma is neutral."""
    y = np.tile(np.linspace(0, 255, width), (height, 1)).astype(np.uint8)
    grey = np.full((height // 2, width // 2), 128, np.uint8)
    return Planes(y, grey, grey)


# --- chips -------------------------------------------------------------------------------------------------------


def test_a_chip_is_the_square_around_the_face_in_rgb() -> None:
    chip = cut_chip(ramp(512, 400), FULL_RANGE, (200, 100, 300, 200), 150)
    assert chip.shape == (150, 150, 3)
    reach = SIDE * 100 / 2
    expected = np.linspace(250 - reach, 250 + reach, 150) * 255 / 511
    assert np.abs(chip[75, :, 0].astype(float) - expected).max() <= 2
    assert (chip[..., 0] == chip[..., 2]).all()


def test_a_chip_is_placed_by_the_height_of_the_box_alone() -> None:
    planes = make_planes(320, 240, seed=1)
    wide, narrow = (cut_chip(planes, Colour(), (160 - w, 60, 160 + w, 160), 64) for w in (45, 30))
    assert (wide == narrow).all()


def test_a_chip_lies_a_little_lower_than_the_box() -> None:
    planes = ramp(400, 400)
    turned = Planes(np.ascontiguousarray(planes.y.T), planes.u, planes.v)
    middle = cut_chip(turned, FULL_RANGE, (150, 150, 250, 250), 101)[50, 50, 0]
    assert abs(int(middle) - (200 + DROP * 100) * 255 / 399) <= 2


@pytest.mark.parametrize("box", [(-40, -40, 40, 40), (280, 200, 380, 280), (-500, -500, 900, 900), (10, 10, 10.5, 11)])
def test_a_chip_repeats_the_edge_of_the_frame_where_the_face_reaches_over_it(box: Box) -> None:
    flat = [np.full(shape, level, np.uint8) for shape, level in (((240, 320), 90), *[((120, 160), 128)] * 2)]
    assert (cut_chip(Planes(*flat), FULL_RANGE, box, 150) == 90).all()


@pytest.mark.parametrize(
    "box",
    [
        (math.nan, 0, 10, 10),
        (0, 0, 10, math.inf),
        (0, 10, 10, 10),  # no height
        (10, 0, 0, 10),  # inside out
        (400, 0, 410, 10),  # right of the frame
        (0, -100, 10, -90),  # above it
    ],
)
def test_an_impossible_box_gives_no_chip(box: Box) -> None:
    with pytest.raises(ValueError, match="face"):
        cut_chip(make_planes(320, 240), Colour(), box, 150)


# --- embedder ----------------------------------------------------------------------------------------------------


def test_a_face_goes_to_the_model_as_a_chip_of_its_size() -> None:
    model = FakeModel(UNIT, 96, 96)
    with FaceEmbedder(model) as embedder:
        embedding = embedder.embed(make_planes(320, 240, seed=1), Colour(), (100, 60, 180, 160))
    assert model.seen[0].shape == (96, 96, 3)
    assert embedding.shape == (128,)
    assert not model.loaded


@pytest.mark.parametrize("answer", [np.full(128, level, np.float32) for level in (math.nan, math.inf, 0, 5)])
def test_an_embedding_that_no_face_gives_is_invalid(answer: F32) -> None:
    with FaceEmbedder(FakeModel(answer)) as embedder, pytest.raises(InvalidOutputError, match="length"):
        embedder.embed_chip(np.zeros((150, 150, 3), np.uint8))


def test_a_model_of_oblong_pictures_is_no_embedder() -> None:
    model = FakeModel(UNIT, 150, 100)
    with pytest.raises(ModelError, match="square"):
        FaceEmbedder(model).start()
    assert not model.loaded


def test_distances_are_euclidean() -> None:
    others = np.array([[0, 0], [3, 4]], np.float32)
    assert distances(others[0], others).tolist() == [0, 5]


def test_the_committed_embedder_knows_a_face_again_that_is_smaller_and_darker() -> None:
    hers, his = (test for test in models.PORTRAITS if test.target is Target.FACE)
    planes, colour = read_picture(hers.picture)
    box = tuple(hers.truth(planes.size)[0].tolist())
    small = [np.asarray(cv2.resize(plane, None, fx=0.5, fy=0.5), np.uint8) for plane in (planes.y, planes.u, planes.v)]
    dark = Planes((small[0] * 0.6).astype(np.uint8), small[1], small[2])
    other, other_colour = read_picture(PICTURES / "grace_hopper.jpg")
    with models.make_embedder(Zoo().embedders.verify("dlib-resnet-int8")) as embedder:
        one = embedder.embed(planes, colour, box)
        same = embedder.embed(dark, colour, tuple(side / 2 for side in box))
        stranger = embedder.embed(other, other_colour, tuple(his.truth(other.size)[0].tolist()))
    assert distances(one, same[None]) < models.SAME
    assert distances(one, stranger[None]) > models.SAME


def test_verify_refuses_an_embedder_that_takes_one_person_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "make_embedder", lambda _spec: FaceEmbedder(FakeModel(UNIT)))
    with pytest.raises(ModelError, match=r"takes one person for two or two for one \(0\.00 and 0\.00"):
        models.verify_embedder(Zoo(), "dlib-resnet-int8")


def test_verify_says_what_was_proven_of_an_embedder() -> None:
    assert "tells the portraits apart, sha256 matches" in models.verify_embedder(Zoo(), "dlib-resnet-int8")
