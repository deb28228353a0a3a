"""The stencil of an ellipse that takes in every pixel its outline touches."""

from __future__ import annotations

import functools

import numpy as np

from anonymizer.redact.area import Area
from anonymizer.types import F32, U8


def ellipse_stencil(area: Area) -> U8:
    """The visible part of the ellipse inscribed in an area, as chroma pixels: 1 inside, 0 outside.

    A luma pixel is inside exactly when its chroma pixel is.
    """
    across = _distance(area.x1 - area.full_x1, area.width, area.full_width)
    inside: U8 = (across < _room(area.y1 - area.full_y1, area.height, area.full_height)).view(np.uint8)
    return inside


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
    """What the distances down leave for those across (count, 1)."""
    room: F32 = 1 - _distance(start, count, full_count)[:, None]
    room.flags.writeable = False
    return room
