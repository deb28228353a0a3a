"""Openings for spared faces: where nothing else can be, and never where a head is hidden."""

from __future__ import annotations

import itertools
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
    return bool(masked(regions, np.array(x), np.array(y)))


def masked(regions: list[Region], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points lie in a region."""
    inside = np.zeros(x.shape, np.bool_)
    for region in regions:
        x1, y1, x2, y2 = region.box
        across, down = (2 * x - x1 - x2) / (x2 - x1), (2 * y - y1 - y2) / (y2 - y1)
        is_round = region.shape is Shape.ELLIPSE
        inside |= across**2 + down**2 <= 1 if is_round else np.maximum(abs(across), abs(down)) <= 1
    return inside


def test_a_guess_about_a_far_face_is_open_where_somebody_is_and_masked_all_around() -> None:
    regions = list(opened([mask()], [FACE], [STRAY], [guess()]))
    assert not is_masked(regions, 140, 150)
    for x, y in ((80, 150), (140, 90), (140, 210), (200, 150), (200, 210), (183, 120)):
        assert is_masked(regions, x, y)


def test_where_a_guess_begins_stays_masked_over_the_opening() -> None:
    begins = (170.0, 190.0, 200.0, 230.0)
    regions = list(opened([mask()], [FACE], [begins], [guess(begins)]))
    assert is_masked(regions, 175, 195)
    assert not is_masked(regions, 120, 120)


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.5])
def test_where_a_guess_begins_stays_masked_with_its_margin_and_no_more_of_the_opening(margin: float) -> None:
    x1, y1, x2, y2 = begins = (130.0, 150.0, 160.0, 190.0)
    (dx, dy), (width, height) = ((80.0, 60.0), (190.0, 160.0))  # two sigmas of a guess, and the sides with them
    reach = x1 - dx - margin * width, y1 - dy - margin * height, x2 + dx + margin * width, y2 + dy + margin * height
    regions = list(opened([replace(mask(reach), shape=Shape.BOX)], [FACE], [begins], [guess(begins)]))
    left, top, right, bottom = x1 - margin * 30, y1 - margin * 40, x2 + margin * 30, y2 + margin * 40
    for x, y in itertools.product((left + 0.01, right - 0.01), (top + 0.01, bottom - 0.01)):
        assert is_masked(regions, x, y)
    assert not is_masked(regions, left - 0.01, 170)
    assert not is_masked(regions, 145, top - 0.01)


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
        ((90, 90, 200, 470), (FAR,), False),  # that is beside it
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
@given(BOXES, st.sampled_from(Shape), st.lists(BOXES, max_size=3), BOXES)
def test_nothing_but_spared_faces_is_opened(reach: Box, shape: Shape, spared: list[Box], begins: Box) -> None:
    whole = replace(mask(reach), shape=shape)
    regions = list(opened([whole], spared, [], [guess(begins)]))
    y, x = np.mgrid[0.5:120.5, 0.5:120.5]
    faces, beginning = (
        masked([replace(whole, box=box, shape=Shape.BOX) for box in boxes], x, y) for boxes in (spared, [begins])
    )
    lost = masked([whole], x, y) & ~masked(regions, x, y)
    assert not (lost & ~faces).any()
    assert shape is Shape.ELLIPSE or not (lost & beginning).any()  # an ellipse has a margin, and is grown with it
