"""The effect `blur`: the rounded means of the grid's cells, blended into each other."""

from __future__ import annotations

from typing import cast

import cv2

from anonymizer.redact.effect import Cover, Patch, pairs
from anonymizer.redact.grid import average, make_grid, rounded
from anonymizer.types import U8


class Blur:
    """Paints a smooth picture that holds no more than the mosaic of as many cells would.

    Down, blur, round, up: the kernel grows with the region, and costs a hundredth of a Gaussian of that size.
    """

    def __init__(self, cells: int) -> None:
        self._cells = cells

    def cover(self, patch: Patch) -> Cover:
        """The blend; in luma every second row is enough, for nothing in it is fine."""
        x1, y1, x2, y2, *_ = patch.area
        width, height = x2 - x1, y2 - y1
        y, u, v = self._blended(patch)
        luma = pairs(_enlarged(y, 2 * width, height))
        return Cover(luma, luma, _enlarged(u, width, height), _enlarged(v, width, height))

    def _blended(self, patch: Patch) -> U8:
        """The means after a small blur, rounded: Y, U, V (3, rows, columns)."""
        grid = make_grid(patch.area, self._cells)
        means = average(patch.picture, patch.area, grid).reshape(grid.rows, 3, grid.columns)
        cells = means.transpose(0, 2, 1).copy()  # planes as channels, so that none blurs into another
        cv2.GaussianBlur(cells, (3, 3), 0, cells, 0, cv2.BORDER_REPLICATE)
        return rounded(cells.transpose(2, 0, 1))


def _enlarged(cells: U8, width: int, height: int) -> U8:
    return cast(U8, cv2.resize(cells, (width, height), None, 0, 0, cv2.INTER_LINEAR))
