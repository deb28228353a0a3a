"""The effect `blur`: the rounded means of the grid's cells, blended into each other."""

from __future__ import annotations

import cv2

from anonymizer.redact.effect import Patch
from anonymizer.redact.grid import average, make_grid, rounded
from anonymizer.types import Planes


class Blur:
    """Paints a smooth picture that holds no more than the mosaic of as many cells would.

    Down, blur, round, up: the kernel grows with the region, and costs a hundredth of a Gaussian of that size.
    """

    def __init__(self, cells: int) -> None:
        self._cells = cells

    def paint(self, patch: Patch, out: Planes) -> None:
        """Paint the blend."""
        means = average(patch.planes, make_grid(patch.area, self._cells))
        cv2.GaussianBlur(means, (3, 3), 0, dst=means, borderType=cv2.BORDER_REPLICATE)
        for cells, target in zip(cv2.split(rounded(means)), (out.y, out.u, out.v), strict=True):
            height, width = target.shape
            cv2.resize(cells, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
