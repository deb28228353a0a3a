"""Openings for spared faces: where nothing else can be, and never where a head is hidden."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.policy.openings import has_head_elsewhere, opened
from anonymizer.types import Effect, Reason, Region, Shape, Target, Track, TrackState

Box = tuple[float, float, float, float]

FACE: Box = (100.0, 100.0, 180.0, 200.0)
STRAY: Box = (185.0, 190.0, 215.0, 230.0)  # a far face, or none at all
REACH: Box = (60.0, 80.0, 340.0, 340.0)  # where it may be by now
FAR: Box = (400.0, 100.0, 480.0, 200.0)

BOXES = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 60), st.integers(1, 60)).map(
    lambda at: (float(at[0]), float(at[1]), float(at[0] + at[2]), float(at[1] + at[3]))
)


def guess(box: Box = STRAY, unseen_ns: int = 1, target: Target = Target.FACE) -> Track:
    return Track(7, target, box, 0.4, TrackState.COASTING, unseen_ns, (40.0, 30.0))


def mask(
    box: Box = REACH, target: Target = Target.FACE, outline: tuple[tuple[float, float], ...] | None = None
) -> Region:
    return Region(box, Shape.ELLIPSE, Effect.FILL, Reason.TRACK, target, 7, outline)


def is_masked(regions: list[Region], x: float, y: float) -> bool:
    return any(r.box[0] <= x <= r.box[2] and r.box[1] <= y <= r.box[3] for r in regions)


def test_a_guess_about_a_far_face_is_open_where_somebody_is_and_masked_all_around() -> None:
    regions = list(opened([mask()], [FACE], [STRAY], [guess()]))
    assert not is_masked(regions, 140, 150)
    for x, y in ((80, 150), (140, 90), (140, 210), (200, 150), (200, 210)):
        assert is_masked(regions, x, y)


def test_where_a_guess_begins_stays_masked_over_the_opening() -> None:
    begins = (170.0, 190.0, 200.0, 230.0)
    regions = list(opened([mask()], [FACE], [begins], [guess(begins)]))
    assert is_masked(regions, 175, 195)
    assert not is_masked(regions, 120, 120)


@pytest.mark.parametrize(
    "track",
    [
        guess(unseen_ns=0),  # a face that is there
        guess((185.0, 150.0, 245.0, 230.0)),  # large enough to be in front
        guess(target=Target.PERSON, box=(90.0, 90.0, 200.0, 300.0)),  # a body that has its head there
    ],
)
def test_masks_of_what_may_be_in_front_are_whole(track: Track) -> None:
    region = mask(target=track.target)
    assert list(opened([region], [FACE], [], [track])) == [region]


def test_a_guess_about_a_far_body_is_open_too() -> None:
    track = guess((185.0, 190.0, 230.0, 320.0), target=Target.PERSON)
    assert not is_masked(list(opened([mask(target=Target.PERSON)], [FACE], [], [track])), 140, 150)


def test_a_body_that_nobody_saw_beside_the_face_is_masked_where_it_was_and_open_where_it_may_have_gone() -> None:
    beside = guess((160.0, 90.0, 260.0, 330.0), target=Target.PERSON)
    regions = list(opened([mask(target=Target.PERSON)], [FACE], [], [beside]))
    assert not is_masked(regions, 120, 150)
    assert is_masked(regions, 170, 150)
    assert is_masked(list(opened([mask(target=Target.PERSON)], [FACE], [], [replace(beside, unseen_ns=0)])), 120, 150)


def test_a_guess_whose_head_is_elsewhere_is_open_all_over_the_face() -> None:
    beside = guess((160.0, 90.0, 500.0, 330.0), target=Target.PERSON)
    regions = list(opened([mask((60, 80, 540, 340), Target.PERSON)], [FACE], [FAR], [beside]))
    assert not is_masked(regions, 170, 150)


@pytest.mark.parametrize(
    "region",
    [
        mask(FAR),  # elsewhere
        mask(outline=((60.0, 80.0), (340.0, 80.0), (200.0, 340.0))),  # a shape
        Region(REACH, Shape.BOX, Effect.FILL, Reason.ATTENTION),
        Region(REACH, Shape.BOX, Effect.FILL, Reason.DETECTION, Target.FACE),
    ],
)
def test_other_masks_stay_as_they_are(region: Region) -> None:
    assert list(opened([region], [FACE], [], [guess()])) == [region]


def test_a_body_that_was_only_found_is_open_if_its_own_face_is_known() -> None:
    region = Region((90.0, 90.0, 500.0, 470.0), Shape.BOX, Effect.FILL, Reason.DETECTION, Target.PERSON)
    assert list(opened([region], [FACE], [], [])) == [region]
    assert not is_masked(list(opened([region], [FACE], [FAR], [])), 140, 150)


@pytest.mark.parametrize(
    ("body", "others", "elsewhere"),
    [
        ((90, 90, 200, 470), (), False),
        ((90, 90, 500, 470), (FAR,), True),
        ((90, 90, 500, 470), ((400.0, 100.0, 420.0, 125.0),), False),  # that one is far away
        ((90, 90, 500, 470), ((400.0, 400.0, 480.0, 470.0),), False),  # no body has its face there
        ((90, -600, 200, 300), (), True),
        ((90, 90, 500, 250), ((400.0, 170.0, 470.0, 240.0),), True),  # head and shoulders
        ((90, 90, 450, 250), ((400.0, 170.0, 470.0, 240.0),), False),  # half of it is outside
        ((90, 90, 500, 250), ((400.0, 220.0, 470.0, 290.0),), False),
    ],
)
def test_a_head_is_elsewhere_if_a_face_is_or_the_body_reaches_far_up(
    body: Box, others: tuple[Box, ...], elsewhere: bool
) -> None:
    assert has_head_elsewhere(body, FACE, others) is elsewhere


@settings(max_examples=100, deadline=None)
@given(BOXES, st.lists(BOXES, max_size=3), BOXES)
def test_nothing_but_spared_faces_is_opened(reach: Box, spared: list[Box], begins: Box) -> None:
    regions = list(opened([mask(reach)], spared, [], [guess(begins)]))
    y, x = np.mgrid[0.5:120.5, 0.5:120.5]

    def inside(boxes: list[Box]) -> np.ndarray:
        parts = [(x > x1) & (x < x2) & (y > y1) & (y < y2) for x1, y1, x2, y2 in boxes]
        return np.asarray(np.logical_or.reduce([np.zeros_like(x, np.bool_), *parts]))

    lost = inside([reach]) & ~inside([region.box for region in regions])
    assert not (lost & ~inside(spared)).any()
    assert not (lost & inside([begins])).any()
