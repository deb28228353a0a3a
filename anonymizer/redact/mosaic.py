"""The effect `mosaic`: every cell of the grid flat, in its mean."""

from __future__ import annotations

import cv2

from anonymizer.redact.grid import Grid, cell_means
from anonymizer.types import U8


def mosaic(patch: U8, grid: Grid, level: int, out: U8) -> None:
    """Paint the cells; the outermost ones reach to the edges."""
    width = out.shape[1]
    cells = cell_means(patch, grid).repeat(grid.cell_width, axis=1)
    right = width - grid.left - cells.shape[1]
    lines = cv2.copyMakeBorder(cells, 0, 0, grid.left, right, cv2.BORDER_REPLICATE)  # one for each row of cells
    bottom = grid.top + grid.rows * grid.cell_height
    out[: grid.top] = lines[0]
    out[grid.top : bottom].reshape(grid.rows, grid.cell_height, width)[...] = lines[:, None]
    out[bottom:] = lines[-1]
