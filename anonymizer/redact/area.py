"""A region's box in chroma pixels: rounded outward, cut at the frame's edge."""

from __future__ import annotations

import math
from typing import NamedTuple

from anonymizer.types import Box, Size

FARTHEST_PX = 2**20  # luma; larger than any frame, and beyond it effects and outlines would overflow or take for ever


class Area(NamedTuple):
    """In whole chroma pixels, which are two luma pixels wide and high; `full_` is the box before the frame cut it."""

    x1: int
    y1: int
    x2: int
    y2: int
    full_x1: int
    full_y1: int
    full_x2: int
    full_y2: int

    @property
    def width(self) -> int:
        """Visible width in chroma pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> int:
        """Visible height in chroma pixels."""
        return self.y2 - self.y1

    @property
    def full_width(self) -> int:
        """Width in chroma pixels, the part outside the frame included."""
        return self.full_x2 - self.full_x1

    @property
    def full_height(self) -> int:
        """Height in chroma pixels, the part outside the frame included."""
        return self.full_y2 - self.full_y1


def make_area(box: Box, size: Size) -> Area | None:
    """The area of a box in luma pixels; None if it lies outside the frame. A box without extent covers one pixel.

    Raises ValueError if the box is not finite, is inside out or reaches beyond FARTHEST_PX, for it is unknown then what
    it was meant to hide.
    """
    x1, y1, x2, y2 = box
    if not (-FARTHEST_PX <= x1 <= x2 <= FARTHEST_PX and -FARTHEST_PX <= y1 <= y2 <= FARTHEST_PX):  # NaN fails too
        raise ValueError(f"a region has the impossible box {box}")
    left, top = math.floor(x1 / 2), math.floor(y1 / 2)
    right, bottom = max(math.ceil(x2 / 2), left + 1), max(math.ceil(y2 / 2), top + 1)
    width, height = size.width // 2, size.height // 2
    if left >= 0 and top >= 0 and right <= width and bottom <= height:  # most are, and it saves half of the time
        return Area(left, top, right, bottom, left, top, right, bottom)
    visible = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
    if visible[0] >= visible[2] or visible[1] >= visible[3]:
        return None
    return Area(*visible, left, top, right, bottom)


def grown(area: Area, by: int, size: Size) -> Area:
    """The area with `by` more chroma pixels on each side."""
    return Area(
        x1=max(area.x1 - by, 0),
        y1=max(area.y1 - by, 0),
        x2=min(area.x2 + by, size.width // 2),
        y2=min(area.y2 + by, size.height // 2),
        full_x1=area.full_x1 - by,
        full_y1=area.full_y1 - by,
        full_x2=area.full_x2 + by,
        full_y2=area.full_y2 + by,
    )


def whole_area(size: Size) -> Area:
    """The area of a whole frame."""
    width, height = size.width // 2, size.height // 2
    return Area(0, 0, width, height, 0, 0, width, height)
