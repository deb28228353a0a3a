"""Still pictures: what is decoded, and the planes that are made of it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from anonymizer.detect.letterbox import rgb_matrix
from anonymizer.stills import BT601, decode, frame_of, planes_of
from anonymizer.types import Size


def png(height: int, width: int) -> bytes:
    return cv2.imencode(".png", np.zeros((height, width, 3), np.uint8))[1].tobytes()


def test_an_odd_last_row_or_column_is_cut_off() -> None:
    frame = frame_of(np.zeros((7, 9, 3), np.uint8), "door", 4)
    assert (frame.size, frame.seq, frame.camera_id) == (Size(8, 6), 4, "door")
    assert frame.planes.u.shape == frame.planes.v.shape == (3, 4)


def test_planes_are_bt601_in_video_range() -> None:
    bgr = np.full((2, 2, 3), (40, 90, 200), np.uint8)
    planes = planes_of(bgr)
    rgb = rgb_matrix(BT601) @ [planes.y[0, 0], planes.u[0, 0], planes.v[0, 0], 1]
    assert rgb == pytest.approx([200, 90, 40], abs=2)


@pytest.mark.parametrize("data", [b"", b"no picture", png(1, 9), png(9, 1)])
def test_what_is_no_picture_or_too_small_for_a_frame_is_not_decoded(data: bytes) -> None:
    assert decode(data) is None


def test_a_picture_is_decoded() -> None:
    picture = decode(png(2, 3))
    assert picture is not None
    assert picture.shape == (2, 3, 3)
