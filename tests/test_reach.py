"""The planner: which tiles a reach takes, and what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.detect.letterbox import Fit, Letterbox
from anonymizer.detect.reach import MAX_TILES, Eye, plan_tiles
from anonymizer.detect.tiles import Tile
from anonymizer.types import Size

EYE = Eye(Size(640, 384), Fit.LETTERBOX, 16)

frames = st.builds(Size, st.integers(8, 1300).map(lambda n: n * 2), st.integers(8, 800).map(lambda n: n * 2))
eyes = st.builds(
    Eye,
    st.sampled_from([Size(640, 384), Size(320, 320), Size(192, 192), Size(96, 96)]),
    st.sampled_from(Fit),
    st.integers(4, 20),
)


@pytest.mark.parametrize(
    ("frame", "reach_px", "tiles", "inferences"),
    [
        (Size(1920, 1080), 48, None, 1),  # the whole frame shows 48 px as 16
        (Size(1920, 1080), 47, Size(1880, 1080), 3),  # hardly more: the tiles are hardly smaller
        (Size(1920, 1080), 24, Size(960, 576), 7),
        (Size(1920, 1080), 16, Size(640, 384), 17),  # native scale
        (Size(1280, 720), 16, Size(640, 384), 7),
        (Size(1024, 768), 16, Size(640, 384), 7),
        (Size(640, 384), 16, None, 1),  # the frame is the model's input
        (Size(640, 384), 8, Size(320, 192), 10),  # enlarged
        (Size(320, 192), 16, None, 1),  # smaller than a tile: the whole frame is enlarged anyway
        (Size(960, 366), 16, Size(640, 366), 3),  # one row
    ],
)
def test_plans_for_centerface(frame: Size, reach_px: int, tiles: Size | None, inferences: int) -> None:
    plan = plan_tiles(frame, EYE, reach_px)
    assert {tile.size for tile in plan.tiles} == ({tiles} if tiles else set())
    assert plan.inferences == inferences


def test_a_plan_says_what_it_costs() -> None:
    text = str(plan_tiles(Size(1280, 720), EYE, 16))
    assert text == "1280x720: 6 tiles of 640x384 and the whole picture, 7 inferences, faces from 16 px"
    assert str(plan_tiles(Size(640, 360), EYE, 16)) == "640x360: no tiles, 1 inference, faces from 16 px"


def test_a_reach_that_takes_too_many_tiles_becomes_the_next_possible_one() -> None:
    plan = plan_tiles(Size(3840, 2160), EYE, 6)
    assert len(plan.tiles) <= MAX_TILES
    assert plan.reach_px == 15
    assert plan_tiles(Size(3840, 2160), EYE, 15) == plan


@given(frames, eyes, st.integers(6, 200))
def test_tiles_lie_in_the_frame_on_even_pixels_and_cover_it(frame: Size, eye: Eye, reach_px: int) -> None:
    plan = plan_tiles(frame, eye, reach_px)
    assert len(plan.tiles) <= MAX_TILES
    covered = np.zeros((frame.height // 2, frame.width // 2), np.bool_)
    for tile in plan.tiles:
        assert tile.x % 2 == tile.y % 2 == tile.size.width % 2 == tile.size.height % 2 == 0
        assert 0 <= tile.x <= frame.width - tile.size.width
        assert 0 <= tile.y <= frame.height - tile.size.height
        covered[tile.y // 2 : (tile.y + tile.size.height) // 2, tile.x // 2 : (tile.x + tile.size.width) // 2] = True
    assert covered.all() or not plan.tiles
    assert len(set(plan.tiles)) == len(plan.tiles)


@given(frames, eyes, st.integers(6, 200))
def test_tiles_show_the_smallest_face_as_large_as_the_model_needs_it(frame: Size, eye: Eye, reach_px: int) -> None:
    plan = plan_tiles(frame, eye, reach_px)
    for tile in plan.tiles or (Tile.whole(frame),):
        shown_px = plan.reach_px * Letterbox.of(tile.size, eye.size, eye.fit).scale[1]
        rounding = 0.5 * plan.reach_px / tile.size.height  # the picture's sides are rounded to pixels
        assert shown_px >= eye.min_face_px - rounding - 1e-6


@given(frames, st.integers(6, 60), st.data())
def test_every_face_that_the_whole_frame_hides_lies_whole_in_a_tile(
    frame: Size, reach_px: int, data: st.DataObject
) -> None:
    plan = plan_tiles(frame, EYE, reach_px)
    visible_px = EYE.min_face_px / Letterbox.of(frame, EYE.size, EYE.fit).scale[1]
    side = data.draw(st.floats(0, min(visible_px, frame.width, frame.height)))
    x, y = data.draw(st.floats(0, frame.width - side)), data.draw(st.floats(0, frame.height - side))
    assert not plan.tiles or any(
        tile.x <= x and tile.y <= y and x + side <= tile.x + tile.size.width and y + side <= tile.y + tile.size.height
        for tile in plan.tiles
    )
