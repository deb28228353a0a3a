"""The coarse grid of an averaged region: where its cells lie, and the mean of each."""

from __future__ import annotations

import functools
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.redact.area import Area
from anonymizer.redact.effect import Cover, cover_of
from anonymizer.types import U8, Planes

MIN_CELL = 2  # chroma pixels, 4 luma pixels: in a smaller cell single pixels would survive
LONG_SIDE = 2  # the longer side has at most this many times the cells of the shorter one
STEP = 16  # between the levels that means are rounded to; half of it is more than the means differ between frames
SAMPLE_ROWS = 8  # least number of rows of a cell that are averaged; of tall cells only every n-th row is

_LEVELS = np.clip((np.arange(256) + STEP // 2) // STEP * STEP, 0, 255).astype(np.uint8)


class Grid(NamedTuple):
    """Cells inside a patch, in chroma pixels; the outermost cells also colour the pixels that are left at its edges."""

    columns: int
    rows: int
    left: int  # where the first cell starts
    top: int
    right: int  # where the last cell ends
    bottom: int
    step: int  # every n-th row of chroma is sampled; divides the height of a cell
    luma_step: int  # every n-th row of luma is sampled


def make_grid(area: Area, cells: int) -> Grid:
    """Cells for the visible part of an area.

    Their size follows from the whole area, so that a face cut by the frame's edge is no sharper than the whole face
    would be. The shorter side gets at most `cells` cells, the longer one LONG_SIDE times as many: a face that the
    detector itself saw cut to a strip must not be sampled finely along the strip.
    """
    x1, y1, x2, y2, full_x1, full_y1, full_x2, full_y2 = area
    return _grid(x2 - x1, y2 - y1, full_x2 - full_x1, full_y2 - full_y1, cells)


@functools.lru_cache(maxsize=1024)
def _grid(width: int, height: int, full_width: int, full_height: int, cells: int) -> Grid:
    short, long = sorted((full_width, full_height))
    cell = max(-(-short // cells), -(-long // (LONG_SIDE * cells)), MIN_CELL)
    while 1 / (1 / cell) != cell:  # as 49, 98 or 103: OpenCV takes the scale for fractional and is 70 times slower
        cell += 1
    cell_width, cell_height = min(cell, width), min(cell, height)
    columns, rows = width // cell_width, height // cell_height
    step = max(cell_height // SAMPLE_ROWS, 1)
    cell_height -= cell_height % step
    left, top = (width - columns * cell_width) // 2, (height - rows * cell_height) // 2
    luma_step = 2 * step if cell_height >= SAMPLE_ROWS else step
    right, bottom = left + columns * cell_width, top + rows * cell_height
    return Grid(columns, rows, left, top, right, bottom, step, luma_step)


def average(picture: Planes, area: Area, grid: Grid) -> U8:
    """The mean of each cell of an area of a picture; Y, U and V side by side (rows, 3 * columns)."""
    columns, rows, left, top, right, bottom, step, luma_step = grid
    left, top, right, bottom = area.x1 + left, area.y1 + top, area.x1 + right, area.y1 + bottom
    y = picture.y[2 * top : 2 * bottom : luma_step, 2 * left : 2 * right]
    chroma = slice(top, bottom, step), slice(left, right)
    means, size = np.empty((rows, 3 * columns), np.uint8), (columns, rows)
    cv2.resize(y, size, means[:, :columns], 0, 0, cv2.INTER_AREA)
    cv2.resize(picture.u[chroma], size, means[:, columns : 2 * columns], 0, 0, cv2.INTER_AREA)
    cv2.resize(picture.v[chroma], size, means[:, 2 * columns :], 0, 0, cv2.INTER_AREA)
    return means


def spread(cells: U8, area: Area) -> Cover:
    """A cover of cells, Y, U and V side by side (rows, 3 * columns), that all have about the same size."""
    rows, columns = cells.shape
    lines = cells.repeat(_widths(area.width, columns // 3), axis=1)
    return cover_of(lines.repeat(_sides(area.height, rows), axis=0))


@functools.lru_cache(maxsize=1024)
def _sides(pixels: int, cells: int) -> NDArray[np.intp]:
    """How many of a side's pixels belong to each cell (cells,); 0 for some if there are more cells than pixels."""
    sides = np.bincount(np.arange(pixels) * cells // pixels, minlength=cells)
    sides.flags.writeable = False
    return sides


@functools.lru_cache(maxsize=1024)
def _widths(width: int, columns: int) -> NDArray[np.intp]:
    """The same for the cells of Y, U and V side by side; Y is twice as wide."""
    widths = np.concatenate((_sides(2 * width, columns), *2 * (_sides(width, columns),)))
    widths.flags.writeable = False
    return widths


def rounded(levels: U8 | np.uint8) -> U8:
    """The nearest multiples of STEP: 17 levels, among them neutral chroma, 128."""
    nearest: U8 = _LEVELS.take(levels)
    return nearest
