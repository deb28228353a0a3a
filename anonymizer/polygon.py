"""Polygons as tuples of points: whether one crosses itself, and whether it touches a box."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from anonymizer.types import Box

Point = tuple[float, float]


def crosses_itself(points: Sequence[Point]) -> bool:
    """Whether two sides share a point that is not the corner between neighbours, or a side turns back on itself.

    >>> crosses_itself([(0, 0), (1, 1), (1, 0), (0, 1)])
    True
    """
    sides = _sides(points)
    for (i, (a, b)), (j, (c, d)) in combinations(enumerate(sides), 2):
        if j == i + 1 or (i == 0 and j == len(sides) - 1):
            corner, here, there = (b, a, d) if j == i + 1 else (a, b, c)
            if _turn(here, corner, there) == 0 and _lies_along(here, corner, there):
                return True
        elif _meet(a, b, c, d):
            return True
    return False


def touches_box(points: Sequence[Point], box: Box) -> bool:
    """Whether a polygon and a box `x1 y1 x2 y2` share a point, their borders included.

    >>> touches_box([(0, 0), (4, 0), (0, 4)], (3, 3, 5, 5)), touches_box([(0, 0), (9, 0), (0, 9)], (1, 1, 2, 2))
    (False, True)
    """
    x1, y1, x2, y2 = box
    if any(x1 <= x <= x2 and y1 <= y <= y2 for x, y in points) or contains(points, (x1, y1)):
        return True
    corners = ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    return any(_meet(*side, *edge) for side in _sides(points) for edge in _sides(corners))


def contains(points: Sequence[Point], point: Point) -> bool:
    """Whether a point lies inside a polygon, by the crossings of a ray; on the border it may be either."""
    x, y = point
    crossings = 0
    for (ax, ay), (bx, by) in _sides(points):
        crossings += (ay > y) != (by > y) and x < ax + (y - ay) * (bx - ax) / (by - ay)
    return crossings % 2 == 1


def _sides(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    return list(zip(points, [*points[1:], points[0]], strict=True))


def _turn(a: Point, b: Point, c: Point) -> float:
    """Positive, zero or negative: c lies on one side of the line through a and b, on it, on the other."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _lies_along(a: Point, corner: Point, c: Point) -> bool:
    """Whether two sides that meet in a corner on one line leave it in the same direction."""
    return (a[0] - corner[0]) * (c[0] - corner[0]) + (a[1] - corner[1]) * (c[1] - corner[1]) >= 0


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments a-b and c-d share a point."""
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    ends = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(turn == 0 and _is_between(*each) for turn, each in zip(turns, ends, strict=True))


def _is_between(a: Point, b: Point, c: Point) -> bool:
    """Whether c, which lies on the line through a and b, lies within their box."""
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])
