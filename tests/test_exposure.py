"""Which faces count as bare."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anonymizer.exposure import exposed
from anonymizer.types import Effect, Reason, Region, Shape


def region(*box: float) -> Region:
    x1, y1, x2, y2 = box
    return Region((x1, y1, x2, y2), Shape.ELLIPSE, Effect.MOSAIC, Reason.DETECTION)


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_no_faces_are_no_exposed_faces() -> None:
    assert exposed(boxes(), [region(0, 0, 9, 9)]).shape == (0, 4)


def test_without_masks_every_face_is_exposed() -> None:
    assert exposed(boxes((0, 0, 9, 9), (20, 20, 40, 40)), []).tolist() == [[0, 0, 9, 9], [20, 20, 40, 40]]


@pytest.mark.parametrize(("right", "count"), [(16, 0), (9, 0), (7, 1), (0, 1)])
def test_a_face_is_exposed_where_less_than_half_of_it_is_masked(right: float, count: int) -> None:
    assert len(exposed(boxes((0, 0, 16, 16)), [region(0, 0, right, 16)])) == count


def test_masks_count_together_and_where_they_overlap_once() -> None:
    halves = [region(0, 0, 8, 16), region(8, 0, 16, 16)]
    twice = [region(0, 0, 6, 16), region(0, 0, 6, 16)]
    assert len(exposed(boxes((0, 0, 16, 16)), halves)) == 0
    assert len(exposed(boxes((0, 0, 16, 16)), twice)) == 1


def test_the_box_around_a_polygon_masks_nothing() -> None:
    corner = ((0.0, 0.0), (16.0, 0.0), (0.0, 16.0))
    assert len(exposed(boxes((8, 8, 16, 16)), [replace(region(0, 0, 16, 16), outline=corner)])) == 1


def test_faces_that_were_spared_are_bare_on_purpose_and_those_beside_them_are_not() -> None:
    spared = [(100.0, 100.0, 140.0, 150.0)]
    assert len(exposed(boxes((95, 95, 145, 155), (85, 85, 155, 165)), [], spared)) == 0
    assert len(exposed(boxes((150, 100, 190, 150)), [], spared)) == 1
