"""The picture that masks are painted on: one I420 buffer, as encoders read it."""

from __future__ import annotations

import cv2
import numpy as np

from anonymizer.redact.area import Area
from anonymizer.redact.effect import Cover, pairs
from anonymizer.types import U8, Planes, Size


class Canvas:
    """A picture, at first with arbitrary content. A luma pixel is covered exactly when its chroma pixel is."""

    def __init__(self, size: Size) -> None:
        """Raises ValueError if a side is odd or less than 2."""
        height, width = size.height, size.width
        if height < 2 or width < 2 or height % 2 or width % 2:
            raise ValueError(f"a 4:2:0 picture needs even sides, not {size}")
        # A pool of buffers would save nothing: malloc returns the same pages again.
        self.i420: U8 = np.empty((height + height // 2, width), np.uint8)
        chroma = self.i420[height:].reshape(2, height // 2, width // 2)
        self.planes = Planes(self.i420[:height], chroma[0], chroma[1])
        luma = pairs(self.planes.y)
        self._as_cover = Cover(luma[0::2], luma[1::2], self.planes.u, self.planes.v)

    def copy(self, picture: Planes) -> None:
        """Copy all pixels of a picture of this size."""
        self.planes.y[...], self.planes.u[...], self.planes.v[...] = picture.y, picture.u, picture.v

    def lay(self, cover: Cover, area: Area, stencil: U8 | None) -> None:
        """Paint a cover on an area, where its stencil of chroma pixels (H, W) is 1 (None: everywhere)."""
        even, odd, u, v = self._as_cover.cut(area)
        if stencil is None:
            even[...], odd[...], u[...], v[...] = cover
        else:  # much faster than numpy's `where`
            cv2.copyTo(cover.even, stencil, even)
            cv2.copyTo(cover.odd, stencil, odd)
            cv2.copyTo(cover.u, stencil, u)
            cv2.copyTo(cover.v, stencil, v)
