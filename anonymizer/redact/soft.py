"""Soft edges: the effect covers all of the region and fades out in a rim around it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.redact.area import Area
from anonymizer.types import U8, Planes

Share = NDArray[np.int16]

FULL = 128  # share at which the effect replaces the pixel; times any difference of levels it fits 16 bits


def fade(inner: Area, outer: Area, stencil: U8 | None, edge: int) -> Share:
    """How much of the effect shows, 0 to FULL, on the chroma pixels of the outer area.

    FULL within the stencil (None: all) of the inner area, falling to 0 beyond `edge` chroma pixels from it.
    """
    outside = np.ones((outer.height, outer.width), np.uint8)
    left, top = inner.x1 - outer.x1, inner.y1 - outer.y1
    outside[top : top + inner.height, left : left + inner.width] = 0 if stencil is None else 1 - stencil
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_5)
    reach = np.float32(edge + 1)  # where a stencil is empty, all distances are infinite
    share: Share = (FULL - np.minimum(distance, reach) * (FULL / reach)).astype(np.int16)
    return share


def blend(changed: Planes, share: Share, patch: Planes) -> None:
    """Mix the changed pixels into the patch, in place; `share` is that of each chroma pixel (H, W)."""
    height, width = patch.y.shape
    on_luma = np.asarray(cv2.resize(share, (width, height), interpolation=cv2.INTER_NEAREST), np.int16)
    _mix(changed.y, on_luma, patch.y)
    _mix(changed.u, share, patch.u)
    _mix(changed.v, share, patch.v)


def _mix(changed: U8, share: Share, patch: U8) -> None:
    mixed = np.subtract(changed, patch, dtype=np.int16)
    mixed *= share
    mixed += FULL // 2
    mixed //= FULL
    mixed += patch
    patch[...] = mixed
