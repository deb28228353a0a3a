"""Where attention keeps seeing somebody whom nobody explains, a mask appears; it never takes one away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.policy.vigil import LOOKS, Vigil
from anonymizer.types import Detections, Heat, Size, Target, Track, TrackState
from tests.fakes import make_detections

SIZE = Size(160, 90)  # of 16 x 9 cells: ten pixels each
Box = tuple[float, float, float, float]


def look(*hot: tuple[int, int], boxes: tuple[Box, ...] = (), target: Target = Target.PERSON) -> Detections:
    """One look with these hot cells (row, column) and detections."""
    cells = np.full((9, 16), 0.49, np.float32)
    for row, column in hot:
        cells[row, column] = 0.5
    return replace(make_detections(*boxes, target=target), heat=Heat(cells, 0.9))


def track(box: Box, spread_px: tuple[float, float] = (0.0, 0.0)) -> Track:
    return Track(1, Target.PERSON, box, 0.9, TrackState.COASTING, 1, spread_px)


def watch(vigil: Vigil, *looks: Detections | None, tracks: tuple[Track, ...] = ()) -> tuple[Box, ...]:
    for each in looks:
        seen = vigil.watch(each, tracks, SIZE)
    return seen


def test_heat_that_stays_and_that_nobody_explains_is_masked_with_its_surroundings() -> None:
    vigil = Vigil()
    for _ in range(LOOKS - 1):
        assert watch(vigil, look((4, 7), (4, 8))) == ()
    assert watch(vigil, look((4, 7), (4, 8))) == ((60, 30, 100, 60),)


def test_it_stays_masked_for_as_many_looks_after_it_cooled() -> None:
    vigil = Vigil()
    watch(vigil, *[look((4, 7))] * LOOKS)
    for _ in range(LOOKS - 1):
        assert watch(vigil, look()) != ()
    assert watch(vigil, look()) == ()


def test_a_flicker_is_not_masked() -> None:
    vigil = Vigil()
    for _ in range(10):
        assert watch(vigil, look((4, 7)), look((4, 7)), look(), look()) == ()


def test_frames_without_a_look_change_nothing() -> None:
    vigil = Vigil()
    assert watch(vigil, None) == ()
    masked = watch(vigil, *[look((4, 7))] * LOOKS)
    assert watch(vigil, None, make_detections(), None) == masked


def test_somebody_who_walks_a_cell_in_two_looks_is_masked_all_the_way() -> None:
    vigil = Vigil()
    watch(vigil, *[look((4, 1))] * LOOKS)
    for column in (column for column in range(2, 15) for _ in range(2)):
        boxes = watch(vigil, look((4, column)))
        assert any(x1 <= 10 * column and 10 * column + 10 <= x2 for x1, _, x2, _ in boxes)


def test_a_detection_or_a_track_explains_the_cells_that_it_touches_and_their_neighbours() -> None:
    box = (61.0, 31.0, 99.0, 59.0)
    assert watch(Vigil(), *[look((4, 7), boxes=(box,))] * 9) == ()
    assert watch(Vigil(), *[look((4, 7))] * 9, tracks=(track(box),)) == ()
    assert watch(Vigil(), *[look((4, 7))] * 9, tracks=(track((101, 40, 110, 50), spread_px=(6, 0)),)) == ()
    assert watch(Vigil(), *[look((4, 7))] * 9, tracks=(track((101, 40, 110, 50)),)) != ()
    for above_or_below in ((70.0, 11.0, 80.0, 19.0), (70.0, 61.0, 80.0, 69.0)):
        assert watch(Vigil(), *[look((4, 7))] * 9, tracks=(track(above_or_below, spread_px=(0, 6)),)) == ()
        assert watch(Vigil(), *[look((4, 7))] * 9, tracks=(track(above_or_below),)) != ()


def test_somebody_half_outside_the_picture_explains_the_heat_at_its_edge() -> None:
    assert watch(Vigil(), *[look((0, 0), (0, 1))] * 9, tracks=(track((-30, -30, 15, 15)),)) == ()
    assert watch(Vigil(), *[look((8, 15))] * 9, tracks=(track((150, 80, 190, 120)),)) == ()


def test_a_face_explains_the_body_below_it_but_nobody_above_or_beside_it() -> None:
    face = ((70.0, 31.0, 80.0, 41.0),)
    assert watch(Vigil(), *[look((7, 7), boxes=face, target=Target.FACE)] * 9) == ()
    assert watch(Vigil(), *[look((0, 7), boxes=face, target=Target.FACE)] * 9) != ()
    assert watch(Vigil(), *[look((7, 7), boxes=face)] * 9) != ()
    for column, is_explained in ((4, False), (5, True), (9, True), (10, False)):
        assert (watch(Vigil(), *[look((7, column), boxes=face, target=Target.FACE)] * 9) == ()) == is_explained


def test_two_people_get_two_masks() -> None:
    assert watch(Vigil(), *[look((2, 2), (6, 12))] * LOOKS) == ((10, 10, 40, 40), (110, 50, 140, 80))


def test_another_grid_begins_anew() -> None:
    vigil = Vigil()
    watch(vigil, *[look((4, 7))] * LOOKS)
    assert watch(vigil, replace(make_detections(), heat=Heat(np.ones((2, 2), np.float32), 1.0))) == ()


cells = st.sets(st.tuples(st.integers(0, 8), st.integers(0, 15)), max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.lists(cells, min_size=LOOKS, max_size=12))
def test_a_cell_that_is_hot_in_the_last_looks_is_always_masked(story: list[set[tuple[int, int]]]) -> None:
    boxes = watch(Vigil(), *[look(*hot) for hot in story])
    for row, column in set.intersection(*story[-LOOKS:]):
        x, y = 10 * column + 5, 10 * row + 5
        assert any(x1 < x < x2 and y1 < y < y2 for x1, y1, x2, y2 in boxes)
