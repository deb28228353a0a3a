"""The effect `blur`: the rounded means of the grid's cells, blended into each other."""

from __future__ import annotations

import cv2
import numpy as np

from anonymizer.redact.effect import Cover, Patch
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
        y, u, v = self._blended(patch)
        height, width = patch.area.height, patch.area.width
        return Cover(_enlarged(y, 2 * width, height), _enlarged(u, width, height), _enlarged(v, width, height))

    def _blended(self, patch: Patch) -> U8:
        """The means after a small blur, rounded (3, rows, columns); all planes at once, their outer rows doubled."""
        grid = make_grid(patch.area, self._cells)
        stack = np.empty((3, grid.rows + 2, grid.columns), np.uint8)
        average(patch.planes, grid, stack[:, 1:-1])
        stack[:, 0], stack[:, -1] = stack[:, 1], stack[:, -2]
        flat = stack.reshape(-1, grid.columns)
        cv2.GaussianBlur(flat, (3, 3), 0, dst=flat, borderType=cv2.BORDER_REPLICATE)
        return rounded(stack)[:, 1:-1]


def _enlarged(cells: U8, width: int, height: int) -> U8:
    enlarged = np.empty((height, width), np.uint8)
    cv2.resize(cells, (width, height), dst=enlarged, interpolation=cv2.INTER_LINEAR)
    return enlarged
