"""Stencils of ellipses that take in every pixel the outline touches."""

from __future__ import annotations

import numpy as np

from anonymizer.redact.area import Area
from anonymizer.types import F32, U8


def ellipse_stencils(area: Area) -> tuple[U8, U8]:
    """The visible part of the ellipse inscribed in an area, for luma and chroma: 1 inside, 0 outside.

    A luma pixel is inside exactly when its chroma pixel is. Drawn anew each time: sizes rarely repeat, and it takes
    15 us.
    """
    across = _distance(area.x1, area.width, area.full_x1, area.full_width)
    down = _distance(area.y1, area.height, area.full_y1, area.full_height)
    inside = across < (1.0 - down)[:, None]
    chroma: U8 = inside.view(np.uint8)
    pairs = inside.astype(np.uint16)
    pairs *= 0x0101  # one byte for each of two luma pixels
    return pairs.view(np.uint8).repeat(2, axis=0), chroma


def _distance(start: int, count: int, full_start: int, full_count: int) -> F32:
    """Squared distance (count,) of each pixel's nearest edge from the middle of the ellipse; 1 is the half axis."""
    middles = np.arange(count, dtype=np.float32)
    middles += start - full_start + 0.5 - 0.5 * full_count
    nearest = np.maximum(np.abs(middles) - 0.5, 0.0)
    nearest *= 2.0 / full_count
    nearest *= nearest
    return nearest
