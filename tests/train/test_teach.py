"""Rules of joining what several teachers see with the labels that are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="needs the extra: pip install -e '.[train]'")

from anonymizer.detect.families import Candidates
from anonymizer.types import Target
from scripts.train.picture import Sample
from scripts.train.teach import Fused, Trust, fuse, taught
from scripts.train.teacher import Seen, View, ZooTeacher, look, look_both_ways

FACE = (10.0, 10.0, 30.0, 36.0)
OTHER = (50.0, 10.0, 70.0, 36.0)


def seen(*rows: tuple[tuple[float, ...], float]) -> Seen:
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    return Seen(boxes, np.array([row[1] for row in rows], np.float32), np.full(len(rows), Target.FACE, np.int32))


def fused(*rows: tuple[tuple[float, ...], float, int]) -> Fused:
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    return Fused(boxes, np.array([row[1] for row in rows], np.float32), np.array([row[2] for row in rows]))


def sample(*boxes: tuple[float, ...]) -> Sample:
    count = len(boxes)
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    return Sample(Path("x.png"), rows, np.zeros(count, np.int32), np.zeros(count, np.bool_))


def test_what_two_views_show_becomes_one_box_nearer_to_the_surer_one() -> None:
    shifted = tuple(value + 4 for value in FACE)
    found = fuse([seen((FACE, 0.9), (OTHER, 0.4)), seen((shifted, 0.3))], Target.FACE)
    np.testing.assert_allclose(found.boxes, np.array([np.array(FACE) + 1, OTHER]), atol=1e-4)
    assert found.scores.tolist() == pytest.approx([0.9, 0.4])
    assert found.views.tolist() == [2, 1]


def test_nothing_seen_gives_nothing() -> None:
    assert fuse([], Target.FACE).boxes.shape == fuse([seen()], Target.FACE).boxes.shape == (0, 4)
    assert len(taught(sample(FACE), fused(), 0, Trust()).boxes) == 1


def test_a_label_that_is_there_stands_and_the_teachers_box_goes() -> None:
    near = tuple(value + 3 for value in FACE)
    learned = taught(sample(FACE), fused((near, 0.99, 4)), 0, Trust())
    assert learned.boxes.tolist() == [list(FACE)]


@pytest.mark.parametrize(
    ("score", "views", "ignored"),
    [(0.85, 1, [False]), (0.7, 2, [False]), (0.7, 1, [True]), (0.4, 3, [True]), (0.2, 5, [])],
)
def test_sure_boxes_are_labels_doubtful_ones_are_ignored_weak_ones_left_out(
    score: float, views: int, ignored: list[bool]
) -> None:
    assert taught(sample(), fused((FACE, score, views)), 0, Trust()).ignore.tolist() == ignored


class Corner:
    """Always finds the picture's top left 20x30 pixels."""

    targets = frozenset({Target.FACE})

    def find(self, rgb: np.ndarray) -> Candidates:
        assert rgb.ndim == 3
        return Candidates(
            np.array([[0, 0, 20, 30]], np.float32), np.array([0.8], np.float32), np.array([Target.FACE], np.int32)
        )


@pytest.mark.parametrize(
    ("view", "box"),
    [
        (View(), [0, 0, 20, 30]),
        (View(zoom=2.0), [0, 0, 10, 15]),
        (View(mirrored=True), [80, 0, 100, 30]),
        (View(zoom=2.0, mirrored=True), [90, 0, 100, 15]),
    ],
)
def test_what_a_view_shows_comes_back_in_pixels_of_the_picture(view: View, box: list[float]) -> None:
    found = look(Corner(), np.zeros((60, 100, 3), np.uint8), view)
    assert found.boxes.tolist() == [box]


class Middle(Corner):
    """Always finds the same box in the middle, which a mirror shows at the same place."""

    def find(self, rgb: np.ndarray) -> Candidates:
        found = super().find(rgb)
        return Candidates(found.boxes + np.array([40, 10, 40, 10], np.float32), found.scores, found.class_ids)


def test_a_view_and_its_mirror_are_one_view() -> None:
    picture = np.zeros((60, 100, 3), np.uint8)
    found = fuse([look_both_ways(Middle(), picture, 1.0)], Target.FACE)
    assert found.boxes.tolist() == [[40, 10, 60, 40]]
    assert found.views.tolist() == [1]
    assert look_both_ways(Corner(), picture, 2.0).boxes.tolist() == [[0, 0, 10, 15], [90, 0, 100, 15]]


def test_a_model_of_one_size_looks_at_a_larger_picture_in_windows() -> None:
    portrait = np.zeros((500, 900, 3), np.uint8)
    found = look(ZooTeacher("blazeface-full-range"), portrait, View())
    assert len(found.boxes) == 0
