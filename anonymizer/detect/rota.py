"""Which tiles get their turn in a frame when there is no time for all; pure."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.detect.reach import TilePlan
from anonymizer.detect.tiles import Tile
from anonymizer.types import HOT, U8, Heat

CELL_PX = 16  # source pixels that are averaged before pictures are compared
MOTION_LEVELS = 10  # of 255; sensor noise averaged over a cell stays well below


class Rota:
    """Whose turn it is among the tiles of one camera.

    Half of the turns go to tiles in which something was found, or to which motion since they were last looked at or
    attention points, half to those that have waited longest. So no tile waits for more than `longest_wait(count)`
    frames.
    """

    def __init__(self, plan: TilePlan) -> None:
        self._plan = plan
        count = len(plan.tiles)
        self._index = {tile: index for index, tile in enumerate(plan.tiles)}
        self._turns = 0
        self._last_turn = np.arange(-count, 0)
        self._holds = np.zeros(count, np.bool_)
        self._moves = np.zeros(count, np.bool_)
        self._before: U8 | None = None

    def longest_wait(self, turns: int) -> int:
        """Frames from one look at a tile to the next at most, with `turns` tiles in every frame."""
        count = len(self._plan.tiles)
        return 1 if turns >= count else -(-2 * count // turns)

    def choose(self, luma: U8, turns: int, heat: Heat | None = None) -> list[Tile]:
        """Up to `turns` different tiles to look at in this frame; `luma` is its Y plane, `heat` what attention saw."""
        if turns >= len(self._plan.tiles):
            return list(self._plan.tiles)
        self._compare(luma)
        interest = self._holds.astype(np.intp) * 2 + self._moves + self._hot(heat)
        chosen = []
        for _ in range(turns):
            oldest = np.argsort(self._last_turn)
            for_the_busy = self._turns % 2 == 0
            index = int(oldest[interest[oldest].argmax()] if for_the_busy else oldest[0])
            interest[index] = -1  # once a frame
            self._last_turn[index] = self._turns
            self._moves[index] = False
            self._turns += 1
            chosen.append(self._plan.tiles[index])
        return chosen

    def found(self, tile: Tile, *, something: bool) -> None:
        """What came of looking at a tile."""
        self._holds[self._index[tile]] = something

    def _hot(self, heat: Heat | None) -> NDArray[np.bool_]:
        """The tiles (N,) that a hot cell reaches into."""
        is_hot = np.zeros(len(self._plan.tiles), np.bool_)
        if heat is not None:
            size, (rows, columns) = self._plan.frame, heat.cells.shape
            for index, tile in enumerate(self._plan.tiles):
                top, bottom = tile.y * rows // size.height, -(-(tile.y + tile.size.height) * rows // size.height)
                left, right = tile.x * columns // size.width, -(-(tile.x + tile.size.width) * columns // size.width)
                is_hot[index] = (heat.cells[top:bottom, left:right] >= HOT).any()
        return is_hot

    def _compare(self, luma: U8) -> None:
        """Remember the tiles that differ from the frame before."""
        size = self._plan.frame
        cells = (-(-size.width // CELL_PX), -(-size.height // CELL_PX))
        small = np.asarray(cv2.resize(luma, cells, interpolation=cv2.INTER_AREA), np.uint8)
        before, self._before = self._before, small
        if before is None:
            return
        is_new: NDArray[np.bool_] = cv2.absdiff(small, before) > MOTION_LEVELS
        for index, tile in enumerate(self._plan.tiles):
            rows = slice(tile.y // CELL_PX, -(-(tile.y + tile.size.height) // CELL_PX))
            columns = slice(tile.x // CELL_PX, -(-(tile.x + tile.size.width) // CELL_PX))
            self._moves[index] |= is_new[rows, columns].any()
