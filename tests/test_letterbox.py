"""Planes to model input and boxes back: geometry, colour, buffers."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.detect.letterbox import Fit, Letterbox, Letterboxer, rgb_matrix
from anonymizer.types import Colour, Planes, Size
from tests.fakes import make_planes

COLOURS = [Colour(full_range=full, bt709=hd) for full, hd in itertools.product((False, True), repeat=2)]
sizes = st.builds(Size, st.integers(1, 400).map(lambda n: n * 2), st.integers(1, 400).map(lambda n: n * 2))
models = st.builds(Size, st.integers(1, 640), st.integers(1, 640))


def i420(rgb: np.ndarray, colour: Colour) -> Planes:
    """The picture (H, W, 3) in 4:2:0, each chroma sample the mean of its four pixels, in exact arithmetic."""
    matrix = rgb_matrix(colour)
    yuv = (rgb.astype(np.float64) - matrix[:, 3]) @ np.linalg.inv(matrix[:, :3]).T
    height, width = rgb.shape[:2]
    chroma = yuv[..., 1:].reshape(height // 2, 2, width // 2, 2, 2).mean(axis=(1, 3))
    parts = (yuv[..., 0], chroma[..., 0], chroma[..., 1])
    return Planes(*(np.clip(part.round(), 0, 255).astype(np.uint8) for part in parts))


def smooth_picture(width: int, height: int) -> np.ndarray:
    """An RGB picture of soft colours, as a lens makes them."""
    rng = np.random.default_rng(3)
    coarse = rng.uniform(40, 215, (4, 6, 3)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).round().astype(np.uint8)


@pytest.mark.parametrize(
    ("colour", "yuv", "rgb"),
    [
        (Colour(full_range=False, bt709=True), (16, 128, 128), (0, 0, 0)),  # black of video
        (Colour(full_range=False, bt709=True), (235, 128, 128), (255, 255, 255)),  # white of video
        (Colour(full_range=True, bt709=False), (0, 128, 128), (0, 0, 0)),  # black of JPEG
        (Colour(full_range=True, bt709=False), (255, 128, 128), (255, 255, 255)),  # white of JPEG
        (Colour(full_range=False, bt709=False), (81, 90, 240), (255, 0, 0)),  # red of BT.601
        (Colour(full_range=False, bt709=True), (63, 102, 240), (255, 0, 0)),  # red of BT.709
        (Colour(full_range=False, bt709=True), (173, 42, 26), (0, 255, 0)),  # green of BT.709
        (Colour(full_range=False, bt709=False), (41, 240, 110), (0, 0, 255)),  # blue of BT.601
        (Colour(full_range=True, bt709=False), (146, 80, 188), (230, 120, 60)),  # skin in warm light, of JPEG
        (Colour(full_range=False, bt709=True), (135, 91, 179), (230, 120, 60)),  # skin in warm light, of BT.709
    ],
)
def test_primaries_and_skin_of_the_standards(colour: Colour, yuv: tuple[int, ...], rgb: tuple[int, ...]) -> None:
    planes = Planes(
        *(np.full(shape, value, np.uint8) for shape, value in zip([(4, 4), (2, 2), (2, 2)], yuv, strict=True))
    )
    picture, _ = Letterboxer(Size(4, 4), Fit.LETTERBOX).apply(planes, colour)
    assert np.abs(picture.astype(int) - rgb).max() <= 3


@pytest.mark.parametrize("colour", COLOURS)
def test_a_picture_survives_i420_and_back_within_3_levels(colour: Colour) -> None:
    rgb = smooth_picture(640, 384)
    picture, _ = Letterboxer(Size(640, 384), Fit.LETTERBOX).apply(i420(rgb, colour), colour)
    assert np.abs(picture.astype(int) - rgb).max() <= 3


@pytest.mark.parametrize("source", [Size(1920, 1080), Size(1280, 720), Size(960, 540), Size(640, 360), Size(320, 180)])
def test_a_resized_picture_keeps_its_colours_within_4_levels(source: Size) -> None:
    rgb = smooth_picture(source.width, source.height)
    picture, box = Letterboxer(Size(640, 384), Fit.LETTERBOX).apply(i420(rgb, Colour()), Colour())
    want = cv2.resize(rgb, (640, 360), interpolation=cv2.INTER_AREA if source.width > 640 else cv2.INTER_LINEAR)
    assert box.inner == Size(640, 360)
    assert np.abs(picture[:360].astype(int) - want).max() <= 4


def test_a_fine_pattern_is_averaged_not_skipped() -> None:
    y = np.indices((1080, 1920)).sum(axis=0).astype(np.uint8) % 2 * 200 + 20
    chroma = np.full((540, 960), 128, np.uint8)
    picture, _ = Letterboxer(Size(300, 300), Fit.STRETCH).apply(Planes(y, chroma, chroma), Colour(full_range=True))
    assert np.abs(picture.astype(int) - 120).max() <= 2


@pytest.mark.parametrize(
    ("source", "model", "fit", "inner"),
    [
        (Size(1920, 1080), Size(640, 384), Fit.LETTERBOX, Size(640, 360)),  # bars below
        (Size(1080, 1920), Size(640, 384), Fit.LETTERBOX, Size(216, 384)),  # bars to the right
        (Size(1920, 1080), Size(300, 300), Fit.STRETCH, Size(300, 300)),  # no bars
        (Size(320, 192), Size(640, 384), Fit.LETTERBOX, Size(640, 384)),  # enlarged
        (Size(4000, 2), Size(640, 384), Fit.LETTERBOX, Size(640, 1)),  # never thinner than a pixel
        (Size(2, 4000), Size(640, 384), Fit.LETTERBOX, Size(1, 384)),
    ],
)
def test_placement(source: Size, model: Size, fit: Fit, inner: Size) -> None:
    assert Letterbox.of(source, model, fit) == Letterbox(source, inner)


@given(sizes, models, st.sampled_from(Fit))
def test_boxes_come_back_to_where_they_were(source: Size, model: Size, fit: Fit) -> None:
    box = Letterbox.of(source, model, fit)
    whole = np.array([[0, 0, source.width, source.height]], np.float32)
    boxes = np.concatenate([whole, whole * np.array([0.1, 0.2, 0.5, 0.9], np.float32)])
    there = box.to_input(boxes)
    assert box.inner.width <= model.width
    assert box.inner.height <= model.height
    np.testing.assert_allclose(there[0], [0, 0, box.inner.width, box.inner.height], rtol=1e-5)
    back = box.to_source(there)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, boxes, rtol=1e-5)
    assert box.to_source(boxes[:0]).shape == (0, 4)


@given(sizes, models, st.sampled_from(Fit))
def test_any_picture_fits_any_model(source: Size, model: Size, fit: Fit) -> None:
    planes = make_planes(source.width, source.height)
    picture, box = Letterboxer(model, fit).apply(planes, Colour(full_range=True))
    assert picture.shape == (model.height, model.width, 3)
    inside = picture[: box.inner.height, : box.inner.width]
    assert (inside == 128).all()
    assert picture.sum() == inside.sum(dtype=np.int64)


def test_a_mark_lands_where_the_mapping_says() -> None:
    y = np.full((1080, 1920), 16, np.uint8)
    y[300:420, 900:1020] = 235
    chroma = np.full((540, 960), 128, np.uint8)
    for model, fit in ((Size(640, 384), Fit.LETTERBOX), (Size(300, 300), Fit.STRETCH)):
        picture, box = Letterboxer(model, fit).apply(Planes(y, chroma, chroma), Colour())
        rows, columns = np.nonzero(picture[..., 1] > 127)
        found = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
        np.testing.assert_allclose(box.to_source(found), [[900, 300, 1020, 420]], atol=6.5)


def test_strided_and_read_only_planes_are_taken_as_they_are() -> None:
    tight = make_planes(96, 64, seed=5)
    loose = []
    for plane in (tight.y, tight.u, tight.v):
        padded = np.zeros((plane.shape[0], plane.shape[1] + 32), np.uint8)
        padded[:, : plane.shape[1]] = plane
        view = padded[:, : plane.shape[1]]
        view.flags.writeable = False
        loose.append(view)
    make = Letterboxer(Size(64, 48), Fit.LETTERBOX)
    first = make.apply(tight, Colour())[0].copy()
    assert (make.apply(Planes(*loose), Colour())[0] == first).all()


def test_nothing_of_the_last_camera_is_left_when_the_size_changes() -> None:
    make = Letterboxer(Size(64, 64), Fit.LETTERBOX)
    white = [np.full(shape, 235, np.uint8) for shape in ((64, 64), (32, 32), (32, 32))]
    make.apply(Planes(*white), Colour())
    picture, box = make.apply(make_planes(64, 32), Colour())
    assert box.inner == Size(64, 32)
    assert not picture[32:].any()


def test_the_buffer_is_reused_from_frame_to_frame() -> None:
    make = Letterboxer(Size(64, 48), Fit.LETTERBOX)
    assert make.apply(make_planes(), Colour())[0] is make.apply(make_planes(seed=1), Colour())[0]
