"""Which detection continues which track."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from anonymizer.geometry import iou_matrix
from anonymizer.track.association import FOLLOWED_IOU, LESSER, associate, slack_iou
from anonymizer.types import F32, Target

LEAST = 0.2
FACE, PERSON = int(Target.FACE), int(Target.PERSON)


def rows(*boxes: tuple[float, float, float, float]) -> F32:
    return np.array(boxes, np.float32).reshape(-1, 4)


def pairs(
    boxes: F32,
    found: F32,
    *,
    strong: list[bool] | None = None,
    slack: float = 0.0,
    targets: list[int] | None = None,
    found_targets: list[int] | None = None,
) -> set[tuple[int, int]]:
    tracks, detections = associate(
        boxes,
        np.full((len(boxes), 2), slack, np.float32),
        np.array([FACE] * len(boxes) if targets is None else targets, np.int32),
        found,
        np.array([FACE] * len(found) if found_targets is None else found_targets, np.int32),
        np.array([True] * len(found) if strong is None else strong, np.bool_),
        LEAST,
    )
    return set(zip(tracks.tolist(), detections.tolist(), strict=True))


def test_each_track_takes_the_detection_that_overlaps_most() -> None:
    boxes = rows((0, 0, 10, 10), (8, 0, 18, 10))
    assert pairs(boxes, rows((9, 0, 19, 10), (1, 0, 11, 10))) == {(0, 1), (1, 0)}


def test_a_detection_continues_one_track_at_most() -> None:
    assert pairs(rows((0, 0, 10, 10), (1, 0, 11, 10)), rows((1, 0, 11, 10))) == {(1, 0)}


def test_too_little_overlap_is_no_match() -> None:
    assert pairs(rows((0, 0, 10, 10)), rows((8, 0, 18, 10))) == set()


def test_uncertainty_bridges_the_gap() -> None:
    assert pairs(rows((0, 0, 10, 10)), rows((12, 0, 22, 10)), slack=5.0) == {(0, 0)}


def test_a_confident_detection_goes_before_a_weak_one_that_fits_better() -> None:
    found = rows((0, 0, 10, 10), (2, 0, 12, 10))
    assert pairs(rows((0, 0, 10, 10)), found, strong=[False, True]) == {(0, 1)}


def test_a_weak_detection_where_somebody_is_expected_goes_before_a_confident_one_beside_them() -> None:
    found = rows((0, 0, 10, 10), (6, 0, 16, 10))
    assert pairs(rows((0, 0, 10, 10)), found, strong=[False, True]) == {(0, 0)}


def test_a_weak_detection_continues_a_track_that_is_left() -> None:
    boxes, found = rows((0, 0, 10, 10), (50, 0, 60, 10)), rows((0, 0, 10, 10), (51, 0, 61, 10))
    assert pairs(boxes, found, strong=[True, False]) == {(0, 0), (1, 1)}


@pytest.mark.parametrize(
    ("found", "continues"),
    [
        ((3, 3, 8, 8), False),  # half as wide and as high: somebody behind, while the one in front is missed
        ((0, 0, 10, 5), True),  # half hidden
        ((1, 1, 8, 8), True),  # smaller, as boxes vary
        ((-3, -3, 13, 13), True),  # nearer
        (
            (-5, -5, 15, 15),
            False,
        ),  # twice as wide and as high: somebody in front, whom the track's mask would not cover
        ((0, -10, 10, 20), True),  # no longer half hidden
    ],
)
@pytest.mark.parametrize("slack", [0.0, 5.0])
def test_somebody_far_smaller_or_larger_does_not_take_a_track(
    found: tuple[float, float, float, float], continues: bool, slack: float
) -> None:
    assert pairs(rows((0, 0, 10, 10)), rows(found), slack=slack) == ({(0, 0)} if continues else set())


def test_a_face_never_continues_a_person() -> None:
    box = rows((0, 0, 10, 10))
    assert pairs(box, box, targets=[PERSON], found_targets=[FACE]) == set()


@pytest.mark.parametrize(
    ("boxes", "found"), [(rows(), rows()), (rows((0, 0, 1, 1)), rows()), (rows(), rows((0, 0, 1, 1)))]
)
def test_nobody_and_nothing_match_nothing(boxes: F32, found: F32) -> None:
    assert pairs(boxes, found) == set()


some_boxes = hnp.arrays(
    np.float32, st.tuples(st.integers(0, 6), st.just(4)), elements=st.integers(0, 20).map(float)
).map(lambda raw: np.concatenate([raw[:, :2], raw[:, :2] + raw[:, 2:]], axis=1))


def each_with_each(boxes: F32, found: F32) -> tuple[F32, F32]:
    return np.repeat(boxes, len(found), axis=0), np.tile(found, (len(boxes), 1))


@settings(deadline=None)
@given(some_boxes, some_boxes)
def test_without_uncertainty_it_is_plain_iou(boxes: F32, found: F32) -> None:
    left, right = each_with_each(boxes, found)
    assert np.allclose(slack_iou(left, np.zeros((len(left), 2), np.float32), right), iou_matrix(boxes, found).ravel())


@settings(deadline=None)
@given(some_boxes, some_boxes, st.floats(0, 30, width=32))
def test_overlap_lies_between_0_and_1(boxes: F32, found: F32, slack: float) -> None:
    left, right = each_with_each(boxes, found)
    overlap = slack_iou(left, np.full((len(left), 2), slack, np.float32), right)
    assert overlap.shape == (len(left),)
    assert ((overlap >= 0) & (overlap <= 1.0001)).all()


@settings(deadline=None)
@given(some_boxes, some_boxes, st.floats(0, 5, width=32))
def test_the_best_of_all_pairs_that_are_left_is_always_taken_next(boxes: F32, found: F32, slack: float) -> None:
    left, right = each_with_each(boxes, found)
    overlap = slack_iou(left, np.full((len(left), 2), slack, np.float32), right).reshape(len(boxes), len(found))
    sides, found_sides = (each[:, None, 2:] - each[:, None, :2] for each in (boxes, found))
    for one, other in ((sides, found_sides.transpose(1, 0, 2)), (found_sides.transpose(1, 0, 2), sides)):
        overlap[np.broadcast_to((one < np.float32(LESSER) * other).all(axis=2), overlap.shape)] = 0.0
    expected = set()
    is_there = iou_matrix(boxes, found) >= FOLLOWED_IOU
    while overlap.size and overlap.max() >= LEAST:
        best = np.where(overlap >= LEAST, overlap + is_there, 0.0).argmax()  # where somebody is expected: before others
        row, column = np.unravel_index(best, overlap.shape)
        expected.add((int(row), int(column)))
        overlap[row], overlap[:, column] = 0.0, 0.0
    assert pairs(boxes, found, slack=slack) == expected
