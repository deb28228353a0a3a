"""The effect `blur`: the rounded means of the grid's cells, blended into each other."""

from __future__ import annotations

import cv2
import numpy as np

from anonymizer.redact.effect import Patch
from anonymizer.redact.grid import average, make_grid, rounded
from anonymizer.types import U8, Planes


class Blur:
    """Paints a smooth picture that holds no more than the mosaic of as many cells would.

    Down, blur, round, up: the kernel grows with the region, and costs a hundredth of a Gaussian of that size.
    """

    def __init__(self, cells: int) -> None:
        self._cells = cells

    def paint(self, patch: Patch, out: Planes) -> None:
        """Paint the blend."""
        for cells, target in zip(self._blended(patch), (out.y, out.u, out.v), strict=True):
            height, width = target.shape
            cv2.resize(cells, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)

    def _blended(self, patch: Patch) -> U8:
        """The means after a small blur, rounded (3, rows, columns); all planes at once, their outer rows doubled."""
        means = average(patch.planes, make_grid(patch.area, self._cells))
        planes, rows, columns = means.shape
        stack = np.empty((planes, rows + 2, columns), np.uint8)
        stack[:, 1:-1], stack[:, 0], stack[:, -1] = means, means[:, 0], means[:, -1]
        flat = stack.reshape(-1, columns)
        cv2.GaussianBlur(flat, (3, 3), 0, dst=flat, borderType=cv2.BORDER_REPLICATE)
        return rounded(stack)[:, 1:-1]
