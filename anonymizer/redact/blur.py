"""The effect `blur`: the rounded means of the grid's cells, blended into each other."""

from __future__ import annotations

import functools
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.redact.effect import Cover, Patch, pairs
from anonymizer.redact.grid import average, make_grid, rounded
from anonymizer.types import U8


class Blur:
    """Paints a smooth picture that tells no more than a mosaic with as many cells.

    The region is averaged to cells, which are blurred, rounded and enlarged again. So the blur grows with the region,
    at a hundredth of the cost of a Gaussian of that size.
    """

    def __init__(self, cells: int) -> None:
        self._cells = cells

    def cover(self, patch: Patch) -> Cover:
        """The blend; four luma pixels, those of one chroma pixel, are alike, which does not show in a blur."""
        x1, y1, x2, y2, *_ = patch.area
        blend = cast(U8, cv2.resize(self._blended(patch), (x2 - x1, y2 - y1), None, 0, 0, cv2.INTER_LINEAR))
        luma = pairs(blend)[..., 0].copy()
        return Cover(luma, luma, blend[..., 2], blend[..., 3])

    def _blended(self, patch: Patch) -> U8:
        """Blurred and rounded means as channels Y, Y, U, V (rows, columns, 4), so that planes do not blur together."""
        grid = make_grid(patch.area, self._cells)
        means = average(patch.picture, patch.area, grid)
        cells = means.take(_as_channels(grid.columns), axis=1).reshape(grid.rows, grid.columns, 4)
        cv2.GaussianBlur(cells, (3, 3), 0, cells, 0, cv2.BORDER_REPLICATE)
        return rounded(cells)


@functools.lru_cache(maxsize=64)
def _as_channels(columns: int) -> NDArray[np.intp]:
    """Indices of Y, Y, U and V of each cell in a row of means, where the planes lie side by side."""
    y = np.arange(columns)
    where = np.stack((y, y, columns + y, 2 * columns + y), axis=1).ravel()
    where.flags.writeable = False
    return where
