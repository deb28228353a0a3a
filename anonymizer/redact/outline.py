"""The stencil of a region: the chroma pixels of its area that its outline touches or contains."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from anonymizer.redact.area import Area
from anonymizer.redact.ellipse import ellipse_stencil
from anonymizer.types import U8, Region, Shape

_SHIFT = 4  # bits after the point in which OpenCV takes coordinates
_STROKE = 3  # width of the border in chroma pixels: filling alone takes only pixels whose middle is inside
_RIM = 4  # chroma pixels drawn around the area, so that no stroke is cut off
_REMEMBERED = 64  # polygons: those of zones never change


def stencil_of(region: Region, area: Area) -> U8 | None:
    """The visible part of a region as chroma pixels (H, W), 1 inside, 0 outside; None: all of its area.

    A luma pixel is inside exactly when its chroma pixel is.
    """
    if region.outline is not None:
        return polygon_stencil(region.outline, area)
    return ellipse_stencil(area) if region.shape is Shape.ELLIPSE else None


@functools.lru_cache(maxsize=_REMEMBERED)
def polygon_stencil(outline: tuple[tuple[float, float], ...], area: Area) -> U8:
    """A polygon in luma pixels, grown by one or two chroma pixels, so that every pixel it touches is in."""
    stencil = np.zeros((area.height + 2 * _RIM, area.width + 2 * _RIM), np.uint8)
    corners = (np.array(outline) / 2 - (area.x1, area.y1) - 0.5 + _RIM) * (1 << _SHIFT)
    polygon = [np.rint(corners).astype(np.int32)]
    cv2.fillPoly(stencil, polygon, 1, shift=_SHIFT)
    cv2.polylines(stencil, polygon, isClosed=True, color=1, thickness=_STROKE, shift=_SHIFT)
    stencil = stencil[_RIM:-_RIM, _RIM:-_RIM].copy()
    stencil.flags.writeable = False
    return stencil
