"""Box arithmetic: shapes, empty input, degenerate boxes."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer import geometry
from anonymizer.geometry import area, clip, iou_matrix, iou_pairs
from anonymizer.types import Size

EMPTY = np.zeros((0, 4), np.float32)


def box(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


@st.composite
def boxes(draw: st.DrawFn) -> np.ndarray:
    corner = st.floats(-50, 50, width=32)
    side = st.floats(0, 60, width=32)
    rows = draw(st.lists(st.tuples(corner, corner, side, side), max_size=12))
    values = np.array(rows, np.float32).reshape(-1, 4)
    values[:, 2:] += values[:, :2]
    return values


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(geometry).failed == 0


def test_empty_input_gives_empty_answers() -> None:
    assert area(EMPTY).shape == (0,)
    assert iou_matrix(EMPTY, EMPTY).shape == (0, 0)
    assert iou_matrix(box(0, 0, 1, 1), EMPTY).shape == (1, 0)
    assert iou_pairs(EMPTY, EMPTY).shape == (0,)
    assert clip(EMPTY, Size(4, 4)).shape == (0, 4)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0),  # the same box
        ((0, 0, 2, 2), (2, 2, 4, 4), 0.0),  # touching at a corner
        ((0, 0, 2, 2), (2, 0, 4, 2), 0.0),  # touching along an edge
        ((0, 0, 4, 4), (1, 1, 3, 3), 0.25),  # one inside the other
        ((0, 0, 2, 2), (5, 5, 6, 6), 0.0),  # far apart in both directions: two negatives make no overlap
        ((1, 1, 1, 1), (1, 1, 1, 1), 0.0),  # no area
    ],
)
def test_iou_of_two_boxes(a: tuple[float, ...], b: tuple[float, ...], expected: float) -> None:
    assert iou_matrix(box(*a), box(*b)).item() == pytest.approx(expected)


@given(boxes(), boxes())
def test_iou_is_symmetric_bounded_and_finite(a: np.ndarray, b: np.ndarray) -> None:
    forth, back = iou_matrix(a, b), iou_matrix(b, a)
    assert forth.shape == (len(a), len(b))
    assert forth.dtype == np.float32
    assert np.isfinite(forth).all()
    assert ((forth >= 0) & (forth <= 1.0001)).all()
    np.testing.assert_allclose(forth, back.T, atol=1e-6)


@given(boxes(), boxes())
def test_iou_of_pairs_is_that_of_each_row_with_its_own(a: np.ndarray, b: np.ndarray) -> None:
    rows = min(len(a), len(b))
    np.testing.assert_allclose(iou_pairs(a[:rows], b[:rows]), iou_matrix(a[:rows], b[:rows]).diagonal(), atol=1e-6)


@given(boxes(), st.integers(1, 60), st.integers(1, 60))
def test_clipped_boxes_lie_in_the_picture_and_never_grow(values: np.ndarray, width: int, height: int) -> None:
    clipped = clip(values, Size(width, height))
    assert clipped.dtype == np.float32
    assert (clipped >= 0).all()
    assert (clipped[:, [0, 2]] <= width).all()
    assert (clipped[:, [1, 3]] <= height).all()
    assert (area(clipped) <= area(values) + 1e-3).all()


def test_box_outside_the_picture_keeps_no_area() -> None:
    assert area(clip(box(10, 10, 20, 20), Size(8, 8))).item() == 0
