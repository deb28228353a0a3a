"""Decoded pictures become 4:2:0 planes without copy, without odd sizes, with the right colours."""

from __future__ import annotations

import gc
import resource
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.testing import assert_allclose

from anonymizer.capture.planes import PlaneReader
from anonymizer.errors import SourceError
from anonymizer.types import Colour, Planes, Size
from tests import film

RED_BGR = np.full((48, 64, 3), (20, 30, 200), np.uint8)


def to_bgr(planes: Planes, colour: Colour) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Mean colour, by the textbook formula."""
    luma, cb, cr = planes.y.mean(), planes.u.mean() - 128, planes.v.mean() - 128
    if not colour.full_range:
        luma, cb, cr = (luma - 16) * 255 / 219, cb * 255 / 224, cr * 255 / 224
    kr, kb = (0.2126, 0.0722) if colour.bt709 else (0.299, 0.114)
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    return np.array([blue, (luma - kr * red - kb * blue) / (1 - kr - kb), red])


PLANAR = "yuv420p yuvj420p yuv422p yuvj422p yuvj444p yuv444p yuv420p10le gbrp"
PACKED = "nv12 nv21 p010le yuyv422 uyvy422 rgb24 bgr24 bgr0"


@pytest.mark.parametrize("pixels", f"{PLANAR} {PACKED}".split())
def test_every_pixel_format_keeps_its_colour(pixels: str) -> None:
    picture = av.VideoFrame.from_ndarray(RED_BGR, "bgr24").reformat(format=pixels)
    planes, colour = PlaneReader().read(picture)
    assert (planes.size, planes.u.shape, planes.v.shape) == (Size(64, 48), (24, 32), (24, 32))
    assert_allclose(to_bgr(planes, colour), RED_BGR[0, 0], atol=4)


@pytest.mark.parametrize(("pixels", "level"), [("gray", 200), ("gray10le", 200)])
def test_grey_cameras_keep_their_levels(pixels: str, level: int) -> None:
    scale = 1 if pixels == "gray" else 4
    grey = np.full((48, 64), level * scale, np.uint8 if scale == 1 else np.uint16)
    planes, colour = PlaneReader().read(av.VideoFrame.from_ndarray(grey, pixels))
    assert colour.full_range
    assert_allclose(planes.y, level, atol=1)
    assert_allclose(planes.u, 128, atol=1)


def test_unlabelled_video_is_bt709_from_720_lines_on() -> None:
    reader = PlaneReader()
    assert reader.read(av.VideoFrame(1280, 720, "yuv420p"))[1] == Colour(full_range=False, bt709=True)
    assert reader.read(av.VideoFrame(768, 576, "yuv420p"))[1] == Colour(full_range=False, bt709=False)


def test_labels_win_over_the_guess() -> None:
    picture = av.VideoFrame(1280, 720, "yuv420p")
    picture.colorspace, picture.color_range = 6, 2  # SMPTE 170M, full range, as AVColorSpace and AVColorRange
    assert PlaneReader().read(picture)[1] == Colour(full_range=True, bt709=False)


@pytest.mark.parametrize("pixels", ["yuv420p", "yuvj422p"])
def test_an_odd_last_row_and_column_go(pixels: str) -> None:
    planes, _ = PlaneReader().read(av.VideoFrame(65, 49, pixels))
    assert (planes.size, planes.u.shape, planes.v.shape) == (Size(64, 48), (24, 32), (24, 32))


def test_a_picture_too_small_to_show_anything_is_refused() -> None:
    with pytest.raises(SourceError, match="1x1"):
        PlaneReader().read(av.VideoFrame(1, 1, "yuvj420p"))


def test_planes_are_views_that_nobody_can_make_writable() -> None:
    picture = av.VideoFrame(64, 48, "yuv420p")
    planes, _ = PlaneReader().read(picture)
    source = np.frombuffer(memoryview(picture.planes[0]), np.uint8)
    assert np.shares_memory(planes.y, source)
    for plane in (planes.y, planes.u, planes.v):
        assert not plane.flags.writeable
        with pytest.raises(ValueError, match="WRITEABLE"):
            plane.flags.writeable = True


def test_planes_outlive_picture_decoder_and_container(tmp_path: Path) -> None:
    path = film.encode(tmp_path / "film.mp4", 5)
    reader = PlaneReader()
    with av.open(str(path)) as container:
        kept = [reader.read(picture)[0] for picture in container.decode(video=0)]
    del container
    gc.collect()
    with av.open(str(path)) as container:
        again = [reader.read(picture)[0].y.copy() for picture in container.decode(video=0)]
    for planes, expected in zip(kept, again, strict=True):
        np.testing.assert_array_equal(planes.y, expected)


def test_planes_that_are_let_go_free_their_memory() -> None:
    """3 MB a picture: 400 of them would be 1.2 GB."""
    reader = PlaneReader()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(400):
        planes, _ = reader.read(av.VideoFrame(1920, 1080, "yuv420p"))
        assert planes.size == Size(1920, 1080)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 100_000
