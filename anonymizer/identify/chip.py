"""A face cut out of a frame as the embedder was trained to see it."""

from __future__ import annotations

import math

import cv2
import numpy as np

from anonymizer.detect.letterbox import rgb_matrix
from anonymizer.types import U8, Box, Colour, Planes

SIDE = 1.0  # side of the square, in heights of the detector's box
DROP = 0.05  # how far its middle lies below that of the box, in heights of the box


def cut_chip(planes: Planes, colour: Colour, box: Box, side_px: int) -> U8:
    """RGB (side_px, side_px, 3) around an upright face in a box as CenterFace or WIDER FACE draw it, source pixels.

    A little tighter than the chips that dlib cuts by landmarks (1.08 and 0.036), because that keeps the embeddings of
    different people farther apart. Outside the frame its edge is repeated.
    Raises ValueError for a box that is not finite, has no height or lies outside the frame.
    """
    x1, y1, x2, y2 = box
    height = y2 - y1
    if not all(map(math.isfinite, box)) or height <= 0 or x2 < x1:
        raise ValueError(f"a face has the impossible box {box}")
    reach = SIDE * height / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2 + DROP * height
    size = planes.size
    if x + reach <= 0 or y + reach <= 0 or x - reach >= size.width or y - reach >= size.height:
        raise ValueError(f"the face {box} lies outside the frame of {size}")
    parts = (
        _square(planes.y, x, y, reach, side_px),
        _square(planes.u, x / 2, y / 2, reach / 2, side_px),
        _square(planes.v, x / 2, y / 2, reach / 2, side_px),
    )
    return np.asarray(cv2.transform(cv2.merge(parts), rgb_matrix(colour)), np.uint8)


def _square(plane: U8, x: float, y: float, reach: float, side_px: int) -> U8:
    """The square within `reach` of a point, scaled; outside the plane its edge is repeated."""
    left, top = math.floor(x - reach), math.floor(y - reach)
    right, bottom = max(math.ceil(x + reach), left + 1), max(math.ceil(y + reach), top + 1)
    rows, columns = plane.shape
    seen = plane[max(top, 0) : min(bottom, rows), max(left, 0) : min(right, columns)]
    around = (max(-top, 0), max(bottom - rows, 0), max(-left, 0), max(right - columns, 0))
    whole = cv2.copyMakeBorder(seen, *around, cv2.BORDER_REPLICATE) if any(around) else seen
    method = cv2.INTER_AREA if right - left > side_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(whole, (side_px, side_px), interpolation=method), np.uint8)
