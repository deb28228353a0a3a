"""Polygons: which ones cross themselves, and which boxes they touch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.polygon import Point, contains, crosses_itself, touches_box
from anonymizer.types import Box

SQUARE = ((0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0))
ELL = ((0.0, 0.0), (6.0, 0.0), (6.0, 2.0), (2.0, 2.0), (2.0, 6.0), (0.0, 6.0))


@pytest.mark.parametrize(
    "points", [SQUARE, ELL, SQUARE[::-1], ((0, 0), (2, 0), (4, 0), (4, 4)), ((0, 0), (1, 0), (0, 1))]
)
def test_a_polygon_given_once_around_does_not_cross_itself(points: tuple[Point, ...]) -> None:
    assert not crosses_itself(points)


@pytest.mark.parametrize(
    "points",
    [
        ((0, 0), (4, 4), (4, 0), (0, 4)),  # an hourglass
        ((0, 0), (4, 0), (2, 0), (2, 2)),  # turns back on itself
        ((0, 0), (4, 0), (4, 4), (2, 0), (0, 4)),  # a corner on another side
        ((0, 0), (4, 0), (8, 0)),  # a line
        ((2, 0), (4, 0), (0, 0), (3, 3)),  # turns back where it ends
    ],
)
def test_one_that_meets_itself_is_found(points: tuple[Point, ...]) -> None:
    assert crosses_itself(points)


@pytest.mark.parametrize(
    ("box", "touches"),
    [
        ((1, 1, 2, 2), True),  # inside
        ((-1, -1, 9, 9), True),  # around it
        ((4, 4, 5, 5), True),  # at the corner
        ((3, 5, 7, 6), False),  # in the notch
        ((1, 5, 7, 5.5), True),  # across the upright
        ((6.1, 0, 7, 1), False),
        ((3, -1, 3.5, 7), True),  # through the bar, no corner of either in the other
    ],
)
def test_an_ell_touches_what_it_shares_a_point_with(box: Box, touches: bool) -> None:
    figure = SQUARE if box == (4, 4, 5, 5) else ELL
    assert touches_box(figure, box) == touches


coordinate = st.floats(0, 10).map(lambda value: round(value, 2))


@given(st.tuples(coordinate, coordinate), st.tuples(coordinate, coordinate))
def test_a_box_around_a_point_of_a_polygon_touches_it(point: Point, more: Point) -> None:
    x, y = point
    if contains(ELL, point):
        assert touches_box(ELL, (x - more[0], y - more[1], x + more[1], y + more[0]))
