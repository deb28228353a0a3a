"""The effect `mosaic`: every cell of the grid flat, in its mean."""

from __future__ import annotations

import cv2
import numpy as np

from anonymizer.redact.grid import Grid, cell_means
from anonymizer.types import U8


def mosaic(patch: U8, grid: Grid, _level: int) -> U8:
    """A patch of the same shape in flat cells."""
    cells = cell_means(patch, grid).repeat(grid.cell_width, axis=1).repeat(grid.cell_height, axis=0)
    below, right = patch.shape[0] - grid.top - cells.shape[0], patch.shape[1] - grid.left - cells.shape[1]
    return np.asarray(cv2.copyMakeBorder(cells, grid.top, below, grid.left, right, cv2.BORDER_REPLICATE), np.uint8)
