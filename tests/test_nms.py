"""What non-maximum suppression keeps, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anonymizer.detect import nms as nms_module
from anonymizer.detect.nms import nms
from anonymizer.errors import InvalidOutputError
from anonymizer.geometry import iou_matrix


def keep(
    boxes: Sequence[tuple[float, ...]], scores: list[float], classes: list[int] | None = None, *, limit: int = 100
) -> list[int]:
    stay = nms(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(classes or [0] * len(boxes), np.int32),
        iou=0.4,
        max_detections=limit,
    )
    return [int(index) for index in stay]


def test_nothing_in_nothing_out() -> None:
    assert keep([], []) == []


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([(0, 0, 9, 9), (0, 0, 9, 9)], [1]),  # the same place: the better one stays
        ([(0, 0, 9, 9), (9, 0, 18, 9)], [1, 0]),  # neighbours that touch
        ([(0, 0, 10, 10), (5, 0, 15, 10)], [1, 0]),  # IoU 1/3 is allowed
        ([(0, 0, 10, 10), (4, 0, 14, 10)], [1]),  # IoU 3/7 is not
        ([(3, 3, 4, 4), (4, 3, 5, 4)], [1, 0]),  # one-pixel boxes
        ([(-50, -50, -40, -40), (0, 0, 9, 9)], [1, 0]),  # partly outside the picture
    ],
)
def test_two_boxes_of_one_class(boxes: list[tuple[float, ...]], expected: list[int]) -> None:
    assert keep(boxes, [0.5, 0.9]) == expected


def test_classes_never_suppress_each_other() -> None:
    assert keep([(0, 0, 9, 9), (0, 0, 9, 9), (0, 0, 9, 9)], [0.5, 0.9, 0.8], [0, 1, 1]) == [1, 0]


def test_a_suppressed_box_suppresses_nothing() -> None:
    chain = [(0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10)]
    assert keep(chain, [0.9, 0.8, 0.7]) == [0, 2]


def test_equal_scores_keep_their_order() -> None:
    apart = [(x, 0.0, x + 5, 5.0) for x in range(0, 100, 10)]
    assert keep(apart, [0.5] * 10) == list(range(10))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_refused_wherever_it_is(bad: float) -> None:
    with pytest.raises(InvalidOutputError, match="NaN or infinite"):
        keep([(0, 0, 9, 9), (20, 0, 29, 9)], [0.9, bad])
    with pytest.raises(InvalidOutputError, match="NaN or infinite"):
        keep([(0, 0, 9, 9), (20, 0, bad, 9)], [0.9, 0.8])


def test_more_objects_than_allowed_is_an_error_not_a_leak() -> None:
    apart = [(x, 0.0, x + 5, 5.0) for x in range(0, 110, 10)]
    assert len(keep(apart, [0.5] * 11, [0] * 6 + [1] * 5, limit=6)) == 11
    with pytest.raises(InvalidOutputError, match="7 objects"):
        keep(apart, [0.5] * 11, [0] * 7 + [1] * 4, limit=6)


def test_a_crowd_of_800_is_kept_whole_beneath_its_duplicates() -> None:
    x, y = np.meshgrid(np.arange(0, 640, 16), np.arange(0, 320, 16))
    faces = np.stack([x, y, x + 12, y + 12], axis=-1).reshape(-1, 4).astype(np.float32)
    rng = np.random.default_rng(7)
    boxes = np.concatenate([faces, faces + rng.uniform(-1, 1, faces.shape).astype(np.float32)])
    scores = np.concatenate([np.full(800, 0.9), np.full(800, 0.4)]).astype(np.float32)
    stay = nms(boxes, scores, np.ones(1600, np.int32), iou=0.4, max_detections=800)
    assert sorted(stay.tolist()) == list(range(800))


@st.composite
def candidates(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    place, side = st.integers(-20, 60), st.integers(1, 30)
    row = st.tuples(place, place, side, side, st.integers(1, 99), st.integers(0, 2))
    rows = np.array(draw(st.lists(row, max_size=40)), np.float32).reshape(-1, 6)
    boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
    return boxes, rows[:, 4] / 100, rows[:, 5].astype(np.int32)


def one_kind(*boxes: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each better than the next."""
    count = len(boxes)
    return np.array(boxes, np.float32), np.linspace(0.9, 0.5, count, dtype=np.float32), np.zeros(count, np.int32)


@given(candidates())
@example(one_kind((0, 0, 30, 30), (36, 80, 37, 81)))  # apart both ways
@example(one_kind((0, 0, 10, 10), (0, 0, 24, 10)))  # the same thing, with middles as far apart as they can be
def test_many_boxes_are_judged_like_few(found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    few = nms(*found, iou=0.4, max_detections=1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nms_module, "FEW", -1)
        many = nms(*found, iou=0.4, max_detections=1000)
    boxes = found[0]
    close = np.abs(iou_matrix(boxes, boxes) - 0.4) < 1e-5
    assert close.any() or np.array_equal(few, many)


def test_thousands_of_boxes_on_a_hundred_faces_leave_a_hundred() -> None:
    rng = np.random.default_rng(3)
    corners = np.stack(np.meshgrid(np.arange(0, 1900, 190), np.arange(0, 1000, 100)), axis=-1).reshape(-1, 2)
    faces = np.concatenate([corners, corners + rng.uniform(12, 90, (100, 2))], axis=1)
    boxes = (np.repeat(faces, 50, axis=0) + rng.normal(0, 0.5, (5000, 4))).astype(np.float32)
    scores = rng.uniform(0.2, 1, 5000).astype(np.float32)
    stay = nms(boxes, scores, np.ones(5000, np.int32), iou=0.4, max_detections=500)
    assert sorted((stay // 50).tolist()) == list(range(100))
    assert scores[stay].tolist() == sorted(scores.reshape(100, 50).max(axis=1).tolist(), reverse=True)


@given(candidates())
def test_survivors_are_sorted_apart_and_cover_the_rest(found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    boxes, scores, classes = found
    stay = nms(boxes, scores, classes, iou=0.4, max_detections=1000)
    assert len(set(stay.tolist())) == len(stay)
    assert (np.diff(scores[stay]) <= 0).all()
    overlap = iou_matrix(boxes, boxes[stay]) * (classes[:, None] == classes[stay][None])
    assert (overlap[stay] - np.eye(len(stay)) <= 0.4 + 1e-5).all()
    gone = np.setdiff1d(np.arange(len(boxes)), stay)
    better = scores[stay][None] >= scores[gone][:, None]
    assert ((overlap[gone] > 0.4 - 1e-5) & better).any(axis=1).all()
