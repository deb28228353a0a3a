"""The effect `blur`: the rounded means of the grid's cells, blended into each other."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

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
        height, width = patch.area.height, patch.area.width
        lines = np.empty((height, 4 * width), np.uint8)
        y, u, v = lines[:, : 2 * width], lines[:, 2 * width : 3 * width], lines[:, 3 * width :]
        cells = self._blended(patch)
        cv2.resize(cells[0], (2 * width, height), y, 0, 0, cv2.INTER_LINEAR)
        cv2.resize(cells[1], (width, height), u, 0, 0, cv2.INTER_LINEAR)
        cv2.resize(cells[2], (width, height), v, 0, 0, cv2.INTER_LINEAR)
        luma = pairs(y)
        return Cover(luma, luma, u, v)

    def _blended(self, patch: Patch) -> U8:
        """The means after a small blur, rounded: Y, U, V (3, rows, columns)."""
        grid = make_grid(patch.area, self._cells)
        means = average(patch.picture, patch.area, grid)
        cells = cast(U8, cv2.merge(means))  # planes as channels, so that none blurs into another
        cv2.GaussianBlur(cells, (3, 3), 0, cells, 0, cv2.BORDER_REPLICATE)
        return rounded(cells.transpose(2, 0, 1))
