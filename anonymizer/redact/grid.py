"""The coarse grid that is all an averaged region keeps: where its cells lie, and the mean of each."""

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
STEP = 16  # between the levels that means are rounded to: a half of it is more than neighbouring frames differ
SAMPLE_ROWS = 8  # of tall cells every n-th row is averaged, at least so many of each plane

_LEVELS = np.clip((np.arange(256) + STEP // 2) // STEP * STEP, 0, 255).astype(np.uint8)


class Grid(NamedTuple):
    """Cells inside a patch, in chroma pixels; the outermost ones also colour what is left at the edges."""

    columns: int
    rows: int
    left: int  # where the first cell starts
    top: int
    right: int  # where the last cell ends
    bottom: int
    step: int  # every n-th row of chroma is sampled; divides the height of a cell
    luma_step: int  # the same of luma, of whose many rows no more are sampled


def make_grid(area: Area, cells: int) -> Grid:
    """Cells for the visible part of an area.

    Their size follows from the whole area, so that what the frame's edge leaves of a face is no sharper than the face
    would have been. The shorter side gets at most `cells` cells, the longer one twice that: a face that the detector
    saw cut to a strip by the frame's edge must not be sampled finely along the strip.
    """
    x1, y1, x2, y2, full_x1, full_y1, full_x2, full_y2 = area
    return _grid(x2 - x1, y2 - y1, full_x2 - full_x1, full_y2 - full_y1, cells)


@functools.lru_cache(maxsize=1024)
def _grid(width: int, height: int, full_width: int, full_height: int, cells: int) -> Grid:
    short, long = sorted((full_width, full_height))
    cell = max(-(-short // cells), -(-long // (LONG_SIDE * cells)), MIN_CELL)
    while 1 / (1 / cell) != cell:  # 49, 98, 103...: OpenCV takes the scale for fractional and is 70 times slower
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
    """The mean of each cell of an area of a picture: those of Y, U and V side by side (rows, 3 * columns)."""
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
    """Cells of Y, U and V, side by side (rows, 3 * columns), all over a patch; all of about the same size."""
    rows, columns = cells.shape
    lines = cells.repeat(_widths(area.width, columns // 3), axis=1)
    return cover_of(lines.repeat(_sides(area.height, rows), axis=0))


@functools.lru_cache(maxsize=1024)
def _sides(pixels: int, cells: int) -> NDArray[np.intp]:
    """How many of a side's pixels belong to each cell; where there are fewer pixels than cells, to some none."""
    sides = np.bincount(np.arange(pixels) * cells // pixels, minlength=cells)
    sides.flags.writeable = False
    return sides


@functools.lru_cache(maxsize=1024)
def _widths(width: int, columns: int) -> NDArray[np.intp]:
    """The same of each cell of Y, U and V, side by side; luma is twice as wide."""
    widths = np.concatenate((_sides(2 * width, columns), *2 * (_sides(width, columns),)))
    widths.flags.writeable = False
    return widths


def rounded(levels: U8 | np.uint8) -> U8:
    """The nearest multiples of STEP, which leave 16 levels and neutral chroma neutral."""
    nearest: U8 = _LEVELS.take(levels)
    return nearest
