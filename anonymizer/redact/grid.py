"""The coarse grid that is all an averaged region keeps: where its cells lie, and the mean of each."""

from __future__ import annotations

import functools
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.redact.area import Area
from anonymizer.types import U8, Planes

MIN_CELL = 2  # chroma pixels, 4 luma pixels: in a smaller cell single pixels would survive
LONG_SIDE = 2  # the longer side has at most this many times the cells of the shorter one
STEP = 16  # between the levels that means are rounded to: a half of it is more than neighbouring frames differ
SAMPLE_ROWS = 8  # of tall cells every n-th row is averaged, at least so many of each plane

_LEVELS = np.clip((np.arange(256) + STEP // 2) // STEP * STEP, 0, 255).astype(np.uint8)


class Grid(NamedTuple):
    """Cells inside a patch of one plane, in its pixels; the outermost ones also colour what is left at the edges."""

    columns: int
    rows: int
    cell_width: int
    cell_height: int
    left: int  # where the first cell starts
    top: int
    step: int  # every n-th row is sampled; divides cell_height

    def doubled(self) -> Grid:
        """The same cells on the luma plane; of its many rows no more are sampled than of chroma."""
        return Grid(
            self.columns,
            self.rows,
            2 * self.cell_width,
            2 * self.cell_height,
            2 * self.left,
            2 * self.top,
            2 * self.step if self.cell_height >= SAMPLE_ROWS else self.step,
        )


def make_grid(area: Area, cells: int) -> Grid:
    """Cells for the visible part of an area on the chroma planes.

    Their size follows from the whole area, so that what the frame's edge leaves of a face is no sharper than the face
    would have been. The shorter side gets at most `cells` cells, the longer one twice that: a face that the detector
    saw cut to a strip by the frame's edge must not be sampled finely along the strip.
    """
    short, long = sorted((area.full_width, area.full_height))
    cell = max(-(-short // cells), -(-long // (LONG_SIDE * cells)), MIN_CELL)
    while 1 / (1 / cell) != cell:  # 49, 98, 103...: OpenCV takes the scale for fractional and is 70 times slower
        cell += 1
    cell_width, cell_height = min(cell, area.width), min(cell, area.height)
    columns, rows = area.width // cell_width, area.height // cell_height
    step = max(cell_height // SAMPLE_ROWS, 1)
    cell_height -= cell_height % step
    left, top = (area.width - columns * cell_width) // 2, (area.height - rows * cell_height) // 2
    return Grid(columns, rows, cell_width, cell_height, left, top, step)


def average(planes: Planes, grid: Grid) -> U8:
    """The mean of each cell of a patch: Y, U, V (3, rows, columns)."""
    means = np.empty((3, grid.rows, grid.columns), np.uint8)
    _average(planes.y, grid.doubled(), means[0])
    _average(planes.u, grid, means[1])
    _average(planes.v, grid, means[2])
    return means


def _average(plane: U8, grid: Grid, means: U8) -> None:
    bottom, right = grid.top + grid.rows * grid.cell_height, grid.left + grid.columns * grid.cell_width
    sampled = plane[grid.top : bottom : grid.step, grid.left : right]
    cv2.resize(sampled, (grid.columns, grid.rows), dst=means, interpolation=cv2.INTER_AREA)


def spread(cells: U8, out: U8) -> None:
    """Paint cells (rows, columns) over a patch (H, W), all of about the same size."""
    height, width = out.shape
    lines = cells.take(_owners(width, cells.shape[1]), axis=1)
    lines.take(_owners(height, cells.shape[0]), axis=0, out=out, mode="clip")


@functools.lru_cache(maxsize=1024)
def _owners(pixels: int, cells: int) -> NDArray[np.intp]:
    """Which cell each pixel of a side belongs to."""
    owners: NDArray[np.intp] = np.arange(pixels, dtype=np.intp) * cells // pixels
    owners.flags.writeable = False
    return owners


def rounded(levels: U8 | np.uint8) -> U8:
    """The nearest multiples of STEP, which leave 16 levels and neutral chroma neutral."""
    nearest: U8 = _LEVELS.take(levels)
    return nearest
