"""Still pictures, as OpenCV decodes them, turned into frames as a camera sends them."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from anonymizer.types import U8, Colour, Frame, Planes

BT601 = Colour(full_range=False, bt709=False)  # the matrix and range of OpenCV's conversion from BGR


def decode(data: bytes) -> U8 | None:
    """BGR (H, W, 3) of the content of a picture file; None if it is no picture, or one smaller than 2x2."""
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error:  # too large, for one
        picture = None
    return None if picture is None or min(picture.shape[:2]) < 2 else cast(U8, picture)


def planes_of(picture: U8) -> Planes:
    """The planes, BT.601 video range, of a BGR picture (H, W, 3) of 2x2 or more; an odd last row or column is cut."""
    height, width = (side // 2 * 2 for side in picture.shape[:2])
    i420 = cast(U8, cv2.cvtColor(np.ascontiguousarray(picture[:height, :width]), cv2.COLOR_BGR2YUV_I420))
    u, v = i420[height:].reshape(2, height // 2, width // 2)
    return Planes(i420[:height], u, v)


def frame_of(picture: U8, camera_id: str, seq: int = 0) -> Frame:
    """A frame, taken at time 0, of a BGR picture (H, W, 3) of 2x2 or more."""
    planes = planes_of(picture)
    return Frame(camera_id, seq, epoch=0, pts_ns=0, captured_ns=0, wall_ns=0, planes=planes, colour=BT601)
