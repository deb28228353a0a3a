"""The stencil of an ellipse that takes in every pixel its outline touches."""

from __future__ import annotations

import functools

import numpy as np

from anonymizer.redact.area import Area
from anonymizer.types import F32, U8

REMEMBERED = 2048  # stencils
REMEMBERED_PX = 8192  # chroma pixels of the largest one, a face of 180 px: 16 MiB at most


def ellipse_stencil(area: Area) -> U8:
    """The visible part of the ellipse inscribed in an area, as chroma pixels: 1 inside, 0 outside.

    A luma pixel is inside exactly when its chroma pixel is. Small stencils are cached, because sizes recur.
    """
    x1, y1, x2, y2, full_x1, full_y1, full_x2, full_y2 = area
    width, height = x2 - x1, y2 - y1
    draw = _remembered if width * height <= REMEMBERED_PX else _draw
    return draw(x1 - full_x1, y1 - full_y1, width, height, full_x2 - full_x1, full_y2 - full_y1)


def _draw(left: int, top: int, width: int, height: int, full_width: int, full_height: int) -> U8:
    inside: U8 = (_distance(left, width, full_width) < _room(top, height, full_height)).view(np.uint8)
    inside.flags.writeable = False
    return inside


_remembered = functools.lru_cache(maxsize=REMEMBERED)(_draw)


@functools.lru_cache(maxsize=1024)
def _distance(start: int, count: int, full_count: int) -> F32:
    """Squared distance (count,) of each pixel's nearest edge from the middle of the ellipse; 1 is the half axis."""
    middles = np.arange(count, dtype=np.float32)
    middles += start + 0.5 - 0.5 * full_count
    nearest = np.maximum(np.abs(middles) - 0.5, 0.0)
    nearest *= 2.0 / full_count
    nearest *= nearest
    nearest.flags.writeable = False
    return nearest


@functools.lru_cache(maxsize=1024)
def _room(start: int, count: int, full_count: int) -> F32:
    """What is left of 1 for the squared distance in the other direction: (count, 1)."""
    room = 1 - _distance(start, count, full_count)[:, None]
    room.flags.writeable = False
    return room
