"""Augmented pictures keep their labels right, and the same seed gives the same picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.train.augment import Augmentation, Augmenter, mosaic, paste_small
from scripts.train.augment.compose import cover_lower_face
from scripts.train.augment.damage import defocus, h264, jpeg, lose_resolution, motion_blur, sensor_noise
from scripts.train.augment.light import colour, infrared, tone
from scripts.train.augment.warp import affine, warp
from scripts.train.picture import Picture

RED = (220, 20, 20)


def empty_labels() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, np.bool_)


def blank(width: int = 320, height: int = 240, level: int = 100) -> Picture:
    return Picture(np.full((height, width, 3), level, np.uint8), *empty_labels())


def with_ellipse(box: tuple[float, float, float, float], width: int = 320, height: int = 240) -> Picture:
    """A red ellipse that fills its box, on grey."""
    y, x = np.mgrid[:height, :width] + 0.5
    x1, y1, x2, y2 = box
    inside = ((x - (x1 + x2) / 2) / ((x2 - x1) / 2)) ** 2 + ((y - (y1 + y2) / 2) / ((y2 - y1) / 2)) ** 2 <= 1
    image = np.full((height, width, 3), 100, np.uint8)
    image[inside] = RED
    return Picture(image, np.array([box], np.float32), np.zeros(1, np.int32), np.zeros(1, np.bool_))


def red_box(image: np.ndarray) -> np.ndarray:
    """The box around what is redder than half-way between the ellipse and its surroundings."""
    ys, xs = np.nonzero(image[..., 0].astype(int) - image[..., 1] > 100)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


@settings(max_examples=60, deadline=None)
@given(
    degrees=st.floats(-180, 180),
    shear=st.floats(-0.3, 0.3),
    zoom=st.floats(0.3, 2.0),
    flip=st.booleans(),
    to=st.tuples(st.floats(100, 220), st.floats(90, 150)),
)
def test_a_box_stays_around_its_object_under_every_affine_map(
    degrees: float, shear: float, zoom: float, flip: bool, to: tuple[float, float]
) -> None:
    picture = with_ellipse((140, 95, 190, 165))
    matrix = affine(degrees=degrees, shear=shear, zoom=zoom, flip=flip, about=np.array([165.0, 130.0]), to=np.array(to))
    moved = warp(picture, matrix, 340, 260, fill=100)
    assert len(moved.boxes) == 1
    assert np.abs(moved.boxes[0] - red_box(moved.image)).max() <= 1.6


@settings(max_examples=30, deadline=None)
@given(zoom=st.floats(0.15, 3.0), seed=st.integers(0, 1000))
def test_boxes_of_the_whole_augmenter_stay_around_their_object(zoom: float, seed: int) -> None:
    picture = with_ellipse((140, 95, 190, 165))
    plain = Augmentation(object_height_px=None, zoom=(zoom, zoom), shift=0.0, tone_share=0, colour_share=0)
    calm = replace(plain, infrared_share=0, mask_share=0, blur_share=0, noise_share=0, jpeg_share=0, h264_share=0)
    moved = Augmenter(replace(calm, low_resolution_share=0))(picture, np.random.default_rng(seed))
    if not moved.ignore[0]:
        # the canvas beyond the picture has a random grey, never a red one
        assert np.abs(moved.boxes[0] - red_box(moved.image)).max() <= 2.1


@given(at=st.floats(-60, 380))
def test_a_box_of_which_too_little_is_visible_is_ignored_and_one_outside_is_gone(at: float) -> None:
    box = np.array([[at, 50, at + 40, 90]], np.float32)
    picture = Picture(blank().image, box, np.zeros(1, np.int32), np.zeros(1, np.bool_))
    moved = warp(picture, affine(about=np.zeros(2), to=np.zeros(2)), 320, 240, min_visible=0.4)
    visible = (np.clip(box[0, 2], 0, 320) - np.clip(box[0, 0], 0, 320)) / 40
    assert len(moved.boxes) == (visible > 0)
    if visible > 0:
        assert abs(visible - 0.4) < 1e-4 or moved.ignore[0] == (visible < 0.4)
        assert moved.boxes.min() >= 0
        assert moved.boxes[:, 2].max() <= 320


def test_ignored_boxes_stay_ignored_and_tiny_ones_become_so() -> None:
    boxes = np.array([[10, 10, 50, 50], [100, 100, 108, 108], [200, 100, 240, 140]], np.float32)
    picture = Picture(blank().image, boxes, np.arange(3, dtype=np.int32), np.array([True, False, False]))
    moved = warp(picture, affine(zoom=0.25, about=np.zeros(2), to=np.zeros(2)), 80, 60, min_side_px=3)
    assert moved.ignore.tolist() == [True, True, False]
    assert moved.class_ids.tolist() == [0, 1, 2]


def test_the_same_seed_gives_the_same_picture_and_another_seed_another() -> None:
    every = Augmentation(infrared_share=1, mask_share=1, blur_share=1, noise_share=1, jpeg_share=1, h264_share=1)
    picture = with_ellipse((140, 95, 190, 165))
    one, same, other = (Augmenter(every)(picture, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(one.image, same.image)
    assert np.array_equal(one.boxes, same.boxes)
    assert not np.array_equal(one.image, other.image)


def test_the_source_picture_is_left_as_it_was() -> None:
    picture = with_ellipse((140, 95, 190, 165))
    before = picture.image.copy()
    augmenter, rng = Augmenter(Augmentation(mask_share=1)), np.random.default_rng(0)
    for _ in range(20):
        paste_small(augmenter(picture, rng), [picture], rng)
        mosaic([picture] * 4, (64, 64), rng)
    assert np.array_equal(picture.image, before)


@settings(max_examples=30, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    seed=st.integers(0, 99),
    canvas=st.sampled_from([None, (64, 48)]),
)
def test_any_picture_becomes_a_canvas_of_the_wanted_size(
    width: int, height: int, seed: int, canvas: tuple[int, int] | None
) -> None:
    every = Augmentation(canvas_px=canvas, blur_share=1, low_resolution_share=1, noise_share=1, jpeg_share=1)
    settings_ = replace(every, infrared_share=0.5, rotation_share=1, shear_share=1, h264_share=0)
    moved = Augmenter(settings_)(blank(width, height), np.random.default_rng(seed))
    assert moved.image.shape == ((height, width, 3) if canvas is None else (48, 64, 3))
    assert moved.image.dtype == np.uint8
    assert moved.boxes.shape == (0, 4)


def test_the_chosen_object_gets_a_height_of_the_wanted_range_and_lies_inside() -> None:
    picture = with_ellipse((140, 95, 190, 165))
    plain = Augmentation(object_height_px=(40, 80), rotation_share=0, shear_share=0)
    for seed in range(30):
        moved = Augmenter(plain)(picture, np.random.default_rng(seed))
        height = moved.boxes[0, 3] - moved.boxes[0, 1]
        assert 40 - 0.1 <= height <= 80 + 0.1
        assert not moved.ignore[0]
        assert moved.boxes[0, 2] - moved.boxes[0, 0] == pytest.approx(height * 50 / 70, abs=0.1)


def test_a_mosaic_shows_four_pictures_with_their_boxes_where_they_are() -> None:
    picture = with_ellipse((100, 60, 220, 180))
    for seed in range(20):
        joined = mosaic([picture] * 4, (400, 300), np.random.default_rng(seed))
        assert joined.image.shape == (300, 400, 3)
        for box in joined.boxes[~joined.ignore]:
            x, y = ((box[:2] + box[2:]) / 2).astype(int)
            assert tuple(joined.image[y, x]) == RED
            assert (box >= 0).all()
            assert (box <= [400, 300, 400, 300]).all()


def test_a_mosaic_is_made_of_four() -> None:
    with pytest.raises(ValueError, match="4 pictures, not 3"):
        mosaic([blank()] * 3, (64, 64), np.random.default_rng(0))


def test_pasted_faces_are_small_labelled_and_touch_no_other_box() -> None:
    target, donor = with_ellipse((100, 60, 220, 180)), with_ellipse((140, 95, 190, 165))
    pasted = paste_small(target, [donor], np.random.default_rng(5), count=6, height_px=(10, 20))
    added = pasted.boxes[1:]
    assert len(added) >= 3
    for at, box in enumerate(added):
        assert 9 <= box[3] - box[1] <= 21
        others = np.delete(pasted.boxes, at + 1, axis=0)
        overlap = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
        assert not (overlap > 0).all(axis=1).any()
        x, y = ((box[:2] + box[2:]) / 2).astype(int)
        assert int(pasted.image[y, x, 0]) - int(pasted.image[y, x, 1]) > 80


def test_nothing_is_pasted_without_a_face_to_give() -> None:
    target = with_ellipse((100, 60, 220, 180))
    pasted = paste_small(target, [blank()], np.random.default_rng(5))
    assert np.array_equal(pasted.image, target.image)
    assert len(pasted.boxes) == 1


def test_a_mask_covers_the_lower_half_of_the_face_and_leaves_the_eyes() -> None:
    for seed in range(20):
        image = with_ellipse((100, 60, 220, 180)).image
        before = image.copy()
        cover_lower_face(image, np.array([100, 60, 220, 180], np.float32), np.random.default_rng(seed))
        changed = (image != before).any(axis=2)
        assert changed[130:160, 140:180].mean() > 0.95
        assert not changed[:100].any()


def test_masks_cover_only_faces_that_count() -> None:
    picture = with_ellipse((100, 60, 220, 180))
    still = Augmentation(canvas_px=None, object_height_px=None, zoom=(1, 1), shift=0, flip_share=0, rotation_share=0)
    calm = replace(still, shear_share=0, mask_share=1, tone_share=0, colour_share=0, infrared_share=0, blur_share=0)
    calm = replace(calm, low_resolution_share=0, noise_share=0, jpeg_share=0, h264_share=0)
    of_person = replace(picture, class_ids=np.array([1], np.int32))
    ignored = replace(picture, ignore=np.array([True]))
    rng = np.random.default_rng(0)
    assert not np.array_equal(Augmenter(calm)(picture, rng).image, picture.image)
    assert np.array_equal(Augmenter(calm)(of_person, rng).image, picture.image)
    assert np.array_equal(Augmenter(calm)(ignored, rng).image, picture.image)
    assert np.array_equal(Augmenter(replace(calm, face_class_id=None))(picture, rng).image, picture.image)


EFFECTS: list[Callable[[np.ndarray, np.random.Generator], np.ndarray]] = [
    lambda image, rng: defocus(image, 1.5),
    lambda image, rng: motion_blur(image, 6, 30),
    lambda image, rng: lose_resolution(image, 2),
    lambda image, rng: sensor_noise(image, 6, 1, rng),
    lambda image, rng: sensor_noise(image, 6, 3, rng),
    lambda image, rng: jpeg(image, 40),
    lambda image, rng: h264(image, 35, (2, -3)),
    lambda image, rng: colour(image, hue_degrees=5, saturation=0.9, warmth=1.05),
    lambda image, rng: tone(image, gain=0.95, gamma=1.05, offset=0.01),
]


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("size", [(96, 64), (97, 63)])
def test_an_effect_changes_the_picture_and_moves_nothing(
    effect: Callable[[np.ndarray, np.random.Generator], np.ndarray], size: tuple[int, int]
) -> None:
    texture = cv2.GaussianBlur(np.random.default_rng(1).random((size[1], size[0], 3)), (0, 0), 2)
    source = np.rint(np.interp(texture, (texture.min(), texture.max()), (20, 235))).astype(np.uint8)
    result = effect(source, np.random.default_rng(0))
    assert result.shape == source.shape
    assert result.dtype == np.uint8
    assert not np.array_equal(result, source)
    middle = source[4:-4, 4:-4].astype(int)
    moves = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    distance = {(x, y): np.abs(np.roll(result, (y, x), (0, 1))[4:-4, 4:-4] - middle).mean() for x, y in moves}
    assert min(distance, key=lambda move: distance[move]) == (0, 0)


def test_infrared_is_grey_and_stays_grey_under_noise() -> None:
    rng = np.random.default_rng(2)
    image = rng.integers(0, 255, (60, 80, 3), np.uint8)
    night = sensor_noise(infrared(image, rng), 8, 1, rng)
    assert (night[..., 0] == night[..., 1]).all()
    assert (night[..., 0] == night[..., 2]).all()


def test_neutral_light_changes_nothing() -> None:
    image = np.random.default_rng(2).integers(0, 255, (60, 80, 3), np.uint8)
    assert np.array_equal(tone(image, gain=1, gamma=1, offset=0), image)
    assert np.abs(colour(image, hue_degrees=0, saturation=1, warmth=1).astype(int) - image).max() <= 1


def test_labels_of_unequal_number_are_refused() -> None:
    with pytest.raises(ValueError, match="unequal number"):
        Picture(blank().image, np.zeros((2, 4), np.float32), np.zeros(1, np.int32), np.zeros(2, np.bool_))
