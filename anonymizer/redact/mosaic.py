"""The effect `mosaic`: every cell of the grid in its mean."""

from __future__ import annotations

import numpy as np

from anonymizer.redact.grid import Grid, cell_means
from anonymizer.types import U8


def mosaic(patch: U8, grid: Grid, _level: int) -> U8:
    """A patch of the same shape in flat cells."""
    rows = np.repeat(cell_means(patch, grid), np.diff(grid.xs), axis=1)
    return np.repeat(rows, np.diff(grid.ys), axis=0)
