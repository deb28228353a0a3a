"""Stencils of ellipses that take in every pixel the outline touches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from anonymizer.redact.area import Area
from anonymizer.types import U8

CACHED_SIDE = 128  # chroma pixels; 128 entries of that size take 10 MB
CACHED_STENCILS = 128


@dataclass(frozen=True, slots=True, eq=False)
class Stencil:
    """255 where a patch is masked, 0 elsewhere; a luma pixel is masked exactly when its chroma pixel is."""

    luma: U8
    chroma: U8


def ellipse_stencil(area: Area) -> Stencil:
    """The visible part of the ellipse inscribed in an area, read-only."""
    if area.is_clipped or max(area.width, area.height) > CACHED_SIDE:
        return _draw(area)
    return _draw_cached(area.width, area.height)


@lru_cache(maxsize=CACHED_STENCILS)
def _draw_cached(width: int, height: int) -> Stencil:
    return _draw(Area(0, 0, width, height, 0, 0, width, height))


def _draw(area: Area) -> Stencil:
    across = _distance(area.x1, area.x2, area.full_x1, area.full_x2)
    down = _distance(area.y1, area.y2, area.full_y1, area.full_y2)
    chroma = np.where(down[:, None] + across < 1.0, np.uint8(255), np.uint8(0))
    luma = chroma.repeat(2, axis=1).repeat(2, axis=0)
    chroma.flags.writeable = luma.flags.writeable = False
    return Stencil(luma, chroma)


def _distance(start: int, stop: int, full_start: int, full_stop: int) -> NDArray[np.float64]:
    """Squared distance of each pixel's nearest edge from the middle of the ellipse; 1 is the half axis."""
    middles = np.arange(start, stop) + (0.5 - 0.5 * (full_start + full_stop))
    nearest = np.maximum(np.abs(middles) - 0.5, 0.0) * (2.0 / (full_stop - full_start))
    return nearest * nearest
