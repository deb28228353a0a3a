"""The coarse grid that is all an averaged region may keep: cell edges and the mean of every cell."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.types import U8

Edges = NDArray[np.intp]

MIN_CELL = 2  # chroma pixels, that is 4 luma pixels: below that a "cell" would keep single pixels
LONG_SIDE = 2  # the longer side has at most this many times the cells of the shorter one
SAMPLE_ROWS = 16  # a tall cell is averaged over every n-th row, at least so many


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Edges of the cells inside one patch of a plane, in that plane's pixels; the first is 0, the last the side."""

    xs: Edges
    ys: Edges

    def doubled(self) -> Grid:
        """The same cells on the luma plane."""
        return Grid(self.xs * 2, self.ys * 2)


def make_grid(width: int, height: int, full_width: int, full_height: int, cells: int) -> Grid:
    """Cells of the visible `width x height` of a region that is `full_width x full_height`; all in chroma pixels.

    The cell's size follows from the full region, so that what the frame's edge leaves over of a face is no sharper
    than the whole face would be. The shorter side gets at most `cells` cells, the longer one twice that: a face cut
    to a strip by the frame's edge must not get many cells along its length.
    """
    short, long = sorted((full_width, full_height))
    cell = max(-(-short // cells), -(-long // (LONG_SIDE * cells)), MIN_CELL)
    return Grid(_edges(width, cell), _edges(height, cell))


def _edges(side: int, cell: int) -> Edges:
    count = max(side // cell, 1)
    return np.arange(count + 1, dtype=np.intp) * side // count


def cell_means(patch: U8, grid: Grid) -> U8:
    """Rounded mean (rows, columns) of every cell of a patch (H, W).

    The sums stay below 2**31: a grid has at most 12 rows of cells, so at most 12 * 32 rows are summed.
    """
    step = max(int(grid.ys[1]) // SAMPLE_ROWS, 1)
    rows = -(-grid.ys // step)
    table = cv2.integral(patch[::step])[rows[:, None], grid.xs]
    sums = table[1:, 1:] - table[:-1, 1:] - table[1:, :-1] + table[:-1, :-1]
    areas = np.diff(rows)[:, None] * np.diff(grid.xs)
    means: U8 = ((sums + areas // 2) // areas).astype(np.uint8)
    return means
