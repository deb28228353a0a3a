"""The effect `fill`: one flat colour; nothing of the region is left."""

from __future__ import annotations

import cv2
import numpy as np

from anonymizer.redact.acceleration import ipp
from anonymizer.redact.area import Area
from anonymizer.redact.colour import levels_of
from anonymizer.redact.effect import Cover, Patch, cover_of
from anonymizer.redact.grid import rounded
from anonymizer.types import U8, Planes

RIM = 2  # width of a region's surround, in pixels of each plane
BLACK = (0, 0, 0)


class Fill:
    """Paints one colour; without one, the mean of the pixels just outside the region's box."""

    def __init__(self, rgb: tuple[int, int, int] | None) -> None:
        self._rgb = rgb

    def cover(self, patch: Patch) -> Cover:
        """One colour in every pixel; black where a surround is wanted and the region is the whole picture."""
        levels = _surround(patch.picture, patch.area) if self._rgb is None else None
        y, u, v = levels or levels_of(self._rgb or BLACK, patch.colour)
        height, width = patch.area.height, patch.area.width
        lines = np.empty((height, 4 * width), np.uint8)
        lines[:, : 2 * width], lines[:, 2 * width : 3 * width], lines[:, 3 * width :] = y, u, v
        return cover_of(lines)


def _surround(picture: Planes, area: Area) -> tuple[int, int, int] | None:
    """Mean levels of the pixels just outside the area's box, rounded; None if the box is all of the picture."""
    if area.width == picture.u.shape[1] and area.height == picture.u.shape[0]:
        return None
    with ipp(wanted=True):  # sums take two thirds of the time with it
        return _rim_mean(picture.y, area, 2), _rim_mean(picture.u, area, 1), _rim_mean(picture.v, area, 1)


def _rim_mean(plane: U8, area: Area, scale: int) -> int:
    x1, y1, x2, y2 = (scale * side for side in (area.x1, area.y1, area.x2, area.y2))
    left, top, right, bottom = max(x1 - RIM, 0), max(y1 - RIM, 0), x2 + RIM, y2 + RIM
    outer, inner = plane[top:bottom, left:right], plane[y1:y2, x1:x2]
    total = int(cv2.sumElems(outer)[0] - cv2.sumElems(inner)[0])  # exact, so that nothing of the inner pixels is left
    return int(rounded(np.uint8(total // (outer.size - inner.size))))
