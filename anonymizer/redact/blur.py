"""The effect `blur`: the means of the grid's cells, blended into each other."""

from __future__ import annotations

import cv2

from anonymizer.redact.grid import Grid, cell_means
from anonymizer.types import U8


def blur(patch: U8, grid: Grid, level: int, out: U8) -> None:
    """Paint a smooth picture that holds no more than `mosaic` would.

    Down, blur, up: the kernel grows with the region, and costs a hundredth of a Gaussian of that size.
    """
    height, width = out.shape
    means = cv2.GaussianBlur(cell_means(patch, grid), (3, 3), 0, borderType=cv2.BORDER_REPLICATE)
    out[...] = cv2.resize(means, (width, height), interpolation=cv2.INTER_LINEAR)
