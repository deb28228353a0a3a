"""Boxes that cannot be meant: whatever a plan says, the whole frame is masked then."""

from __future__ import annotations

import math

import numpy as np
import pytest

from anonymizer.redact.area import FARTHEST_PX, make_area
from anonymizer.types import (
    Effect,
    Reason,
    Shape,
)
from tests.fakes import make_frame, make_planes
from tests.pictures import LOGO
from tests.redact_rig import SMALL, Box, chequered, every_look, is_whole_mosaic, redact, region

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    "box",
    [
        (NAN, 0, 10, 10),
        (0, NAN, 10, 10),
        (0, 0, NAN, 10),
        (0, 0, 10, NAN),
        (0, 0, INF, 10),
        (-INF, 0, 10, 10),
        (10, 0, 5, 10),  # inside out in x
        (0, 10, 10, 5),  # inside out in y
    ],
)
def test_a_plan_with_an_impossible_box_masks_the_whole_frame(box: Box) -> None:
    result = redact(make_frame(planes=make_planes(96, 96, seed=1)), region((0, 0, 8, 8)), region(box))
    assert result.whole_frame is Reason.POLICY_FAILED
    assert is_whole_mosaic(result)


FAR = float(FARTHEST_PX)
BEYOND = math.nextafter(FAR, INF)
TOO_FAR = [
    (-BEYOND, 0.0, 10.0, 10.0),
    (0.0, -BEYOND, 10.0, 10.0),
    (0.0, 0.0, BEYOND, 10.0),
    (0.0, 0.0, 10.0, BEYOND),
    (0.0, 0.0, 1e31, 1e31),  # finite, yet no whole cell for it is found by counting up
    (-1e308, -1e308, 0.0, 0.0),
    (1e31, 1e31, 2e31, 2e31),  # outside the frame, but what was it meant to hide?
]


@pytest.mark.parametrize("box", TOO_FAR)
@every_look
def test_a_plan_with_a_box_that_reaches_absurdly_far_masks_the_whole_frame(
    box: Box, effect: Effect, shape: Shape
) -> None:
    frame = make_frame(planes=make_planes(96, 96, seed=1))
    result = redact(frame, region((0, 0, 8, 8)), region(box, effect, shape), image=LOGO)
    assert result.whole_frame is Reason.POLICY_FAILED
    assert is_whole_mosaic(result)


@pytest.mark.parametrize("box", TOO_FAR)
def test_the_area_of_a_box_that_reaches_absurdly_far_is_refused_as_that_of_an_infinite_one(box: Box) -> None:
    with pytest.raises(ValueError, match="impossible box"):
        make_area(box, SMALL)


@every_look
@pytest.mark.parametrize("cells", [1, 6])
def test_a_box_that_reaches_as_far_as_boxes_may_is_masked_like_any_other(
    cells: int, effect: Effect, shape: Shape
) -> None:
    result = redact(chequered(64, 48), region((-FAR, -FAR, FAR, FAR), effect, shape), image=LOGO, mosaic_cells=cells)
    assert (result.whole_frame, len(result.regions)) == (None, 1)
    assert not np.isin(result.planes.y, (0, 255)).any()
