"""Tiles: crops of a frame, and what was found in them joined to one answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.detect.families import Candidates
from anonymizer.detect.letterbox import Fit, Letterbox
from anonymizer.detect.reach import Eye, plan_tiles
from anonymizer.detect.tiles import Sighting, Tile, merged, sighted
from anonymizer.errors import InvalidOutputError
from anonymizer.types import Size
from tests.fakes import make_planes

FRAME = Size(200, 100)
LEFT, RIGHT = Tile(0, 0, Size(120, 100)), Tile(80, 0, Size(120, 100))


def candidates(*boxes: tuple[float, ...], score: float = 0.9, class_id: int = 1) -> Candidates:
    return Candidates(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(len(boxes), score, np.float32),
        np.full(len(boxes), class_id, np.int32),
    )


def see(tile: Tile, *boxes: tuple[float, ...], score: float = 0.9, class_id: int = 1) -> Sighting:
    """Boxes in frame pixels as a model at native scale finds them in a tile."""
    shift = np.array([tile.x, tile.y, tile.x, tile.y], np.float32)
    found = candidates(*boxes, score=score, class_id=class_id)
    placement = Letterbox(tile.size, tile.size)
    return sighted(replace(found, boxes=found.boxes - shift), placement, tile, FRAME)


def merge(*sightings: Sighting, most: int = 100) -> list[list[float]]:
    return [[float(side) for side in box] for box in merged(sightings, iou=0.4, max_detections=most).boxes]


def test_a_crop_is_a_view_of_the_right_pixels() -> None:
    planes = make_planes(64, 48, seed=3)
    crop = Tile(10, 6, Size(20, 30)).crop(planes)
    assert (crop.y == planes.y[6:36, 10:30]).all()
    assert (crop.u == planes.u[3:18, 5:15]).all()
    assert (crop.v == planes.v[3:18, 5:15]).all()
    assert np.shares_memory(crop.y, planes.y)


def test_the_whole_frame_is_a_tile_that_cuts_nothing() -> None:
    whole = Tile.whole(FRAME)
    assert whole.crop(make_planes(200, 100)).size == FRAME
    assert not see(whole, (0, 0, 200, 100), (0, 40, 5, 60)).is_cut.any()


@pytest.mark.parametrize(
    ("tile", "box", "cut"),
    [
        (LEFT, (0, 0, 50, 50), False),  # at the frame's own edges
        (LEFT, (60, 10, 110, 50), False),  # inside
        (LEFT, (60, 10, 117, 50), True),  # ends near the inner border
        (LEFT, (60, 10, 140, 50), True),  # the model guesses that it goes on
        (RIGHT, (82, 10, 130, 50), True),  # the other inner border
        (RIGHT, (150, 10, 200, 100), False),
        (Tile(0, 40, Size(200, 60)), (10, 42, 20, 60), True),  # borders above and below
        (Tile(0, 0, Size(200, 60)), (10, 42, 20, 58), True),
    ],
)
def test_a_box_is_cut_where_the_picture_goes_on(tile: Tile, box: tuple[float, ...], *, cut: bool) -> None:
    assert see(tile, box).is_cut.tolist() == [cut]


def test_boxes_are_scaled_and_moved_to_the_frame_and_clipped_there() -> None:
    placement = Letterbox(Size(100, 60), Size(200, 120))  # the model sees the tile enlarged
    seen = sighted(candidates((20, 40, 60, 130), (-8, 0, 8, 8)), placement, Tile(100, 40, Size(100, 60)), FRAME)
    assert seen.boxes.tolist() == [[110, 60, 130, 100], [96, 40, 104, 44]]


def test_what_lies_beside_the_tile_is_left_out_even_if_the_frame_goes_on_there() -> None:
    assert len(see(LEFT, (125, 10, 140, 20))) == 0
    assert len(see(LEFT, (50, 10, 50, 20))) == 0


def test_nothing_in_nothing_out() -> None:
    nothing = see(LEFT)
    assert merge(nothing) == []
    found = merged([nothing, see(RIGHT)], iou=0.4, max_detections=1)
    assert found.boxes.shape == (0, 4)
    assert [each.dtype.name for each in (found.boxes, found.scores, found.class_ids)] == ["float32", "float32", "int32"]


def test_one_picture_alone_is_suppressed_as_ever() -> None:
    whole = Tile.whole(FRAME)
    assert merge(see(whole, (10, 10, 40, 40), (12, 10, 42, 40), (100, 10, 130, 40))) == [
        [10, 10, 40, 40],
        [100, 10, 130, 40],
    ]


def test_a_face_in_two_tiles_and_the_whole_frame_is_one() -> None:
    face = (90, 20, 110, 45)
    assert merge(see(Tile.whole(FRAME), face), see(LEFT, face), see(RIGHT, face)) == [list(face)]


def test_halves_are_joined_with_each_other_by_what_they_share() -> None:
    assert merge(see(LEFT, (70, 20, 120, 60)), see(RIGHT, (80, 22, 125, 62))) == [[70, 20, 125, 62]]


def test_a_part_grows_the_whole_face_that_it_belongs_to_and_lends_its_score() -> None:
    whole = see(Tile.whole(FRAME), (60, 10, 150, 90), score=0.3)
    part = see(LEFT, (58, 10, 120, 90), score=0.8)
    found = merged([whole, part], iou=0.4, max_detections=10)
    assert found.boxes.tolist() == [[58, 10, 150, 90]]
    assert found.scores.tolist() == [np.float32(0.8)]


def test_a_part_with_a_better_score_does_not_hide_the_whole_face() -> None:
    """Weak, slightly smaller boxes of a cut face do not count as uncut ones."""
    whole = see(Tile.whole(FRAME), (60, 10, 140, 90), score=0.5)
    weak, strong = see(LEFT, (62, 12, 115, 88), score=0.6), see(LEFT, (60, 10, 120, 90), score=0.9)
    tile = Sighting(*(np.concatenate(pair) for pair in zip(vars_of(weak), vars_of(strong), strict=True)))
    assert merge(whole, tile) == [[60, 10, 140, 90]]


def vars_of(seen: Sighting) -> tuple[np.ndarray, ...]:
    return seen.boxes, seen.scores, seen.class_ids, seen.is_cut


def test_four_parts_at_a_corner_are_one() -> None:
    frame = Size(200, 200)
    face = np.array([70, 70, 130, 130], np.float32)
    parts = []
    for x in (0, 80):
        for y in (0, 80):
            tile = Tile(x, y, Size(120, 120))
            box = np.clip(face, [x, y, x, y], [x + 120, y + 120] * 2).astype(np.float32)[None]
            ones = np.ones(1, np.int32)
            parts.append(Sighting(box, np.array([0.5], np.float32), ones, tile.cuts(box, frame, 4.0)))
    assert merge(*parts) == [face.tolist()]


def test_faces_side_by_side_at_a_border_stay_apart() -> None:
    assert len(merge(see(LEFT, (70, 10, 95, 40), (96, 10, 120, 40)), see(RIGHT, (96, 10, 121, 40)))) == 2
    assert len(merge(see(LEFT), see(RIGHT, (80, 10, 105, 40), (106, 10, 130, 40)))) == 2


def test_a_far_face_before_a_cut_near_one_does_not_swallow_it() -> None:
    near, far = (20, 0, 120, 100), (60, 40, 70, 52)
    assert sorted(merge(see(LEFT, near), see(Tile.whole(FRAME), far))) == sorted([[20, 0, 120, 100], [60, 40, 70, 52]])


def test_other_classes_are_never_joined() -> None:
    assert len(merge(see(LEFT, (70, 20, 120, 60)), see(RIGHT, (80, 20, 125, 60), class_id=0))) == 2


def test_more_than_allowed_over_all_tiles_is_refused() -> None:
    with pytest.raises(InvalidOutputError, match="2 objects"):
        merge(see(LEFT, (10, 10, 20, 20)), see(RIGHT, (150, 10, 160, 20)), most=1)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Size, Eye, int, tuple[float, float, float, float]]:
    """A frame, a model, a reach, and a face of at least that height anywhere in the frame."""
    frame = Size(draw(st.integers(8, 700)) * 2, draw(st.integers(8, 500)) * 2)
    eye = Eye(Size(*draw(st.sampled_from([(640, 384), (320, 320), (192, 192)]))), Fit.LETTERBOX, 16)
    reach_px = plan_tiles(frame, eye, draw(st.integers(6, 60))).reach_px
    height = draw(st.floats(min(reach_px, frame.height), frame.height))
    width = height * draw(st.floats(0.5, 1.0))
    x = draw(st.floats(-width / 3, max(0.0, frame.width - width * 2 / 3)))
    y = draw(st.floats(0, frame.height - height))
    return frame, eye, reach_px, (max(0.0, x), y, min(frame.width, x + width), y + height)


@given(scenes())
def test_a_face_anywhere_is_found_once_and_whole(
    scene: tuple[Size, Eye, int, tuple[float, float, float, float]],
) -> None:
    """The model of each picture sees whatever part lies in it, however little, if the face is high enough there."""
    frame, eye, reach_px, face = scene
    seen = []
    for tile in (Tile.whole(frame), *plan_tiles(frame, eye, reach_px).tiles):
        placement = Letterbox.of(tile.size, eye.size, eye.fit)
        large_enough = (face[3] - face[1]) * placement.scale[1] >= eye.min_face_px * 0.9  # sides are rounded
        corner = np.array([tile.x, tile.y] * 2)
        part = np.clip(np.array(face) - corner, 0, [tile.size.width, tile.size.height] * 2)
        boxes = [tuple(part)] if large_enough and (part[2:] - part[:2] > 0.01).all() else []
        found = candidates(*boxes)
        seen.append(sighted(replace(found, boxes=placement.to_input(found.boxes)), placement, tile, frame))
    found_boxes = merged(seen, iou=0.4, max_detections=10).boxes
    if face[3] - face[1] >= reach_px:
        np.testing.assert_allclose(found_boxes, [face], atol=0.01, rtol=1e-3)
