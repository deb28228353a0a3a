"""Takes turns among the tiles of a frame when there is no time for all of them; pure."""

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
    """The turns of one camera's tiles.

    Every second turn goes to the tile of most interest: something was found there, something moved since it was last
    searched, or attention sees somebody. The others go to the tile that has waited longest, so none waits for more
    than `longest_wait(turns)` frames.
    """

    def __init__(self, plan: TilePlan) -> None:
        self._plan = plan
        count = len(plan.tiles)
        self._index = {tile: index for index, tile in enumerate(plan.tiles)}
        self._turns = 0
        self._last_turn = np.arange(-count, 0)
        self._occupied = np.zeros(count, np.bool_)
        self._moved = np.zeros(count, np.bool_)
        self._before: U8 | None = None

    def longest_wait(self, turns: int) -> int:
        """The most frames from one search of a tile to the next, if every frame has time for `turns` tiles."""
        count = len(self._plan.tiles)
        return 1 if turns >= count else -(-2 * count // turns)

    def choose(self, luma: U8, turns: int, heat: Heat | None = None) -> list[Tile]:
        """Up to `turns` different tiles to search in this frame; `luma` (H, W) is its Y plane."""
        if turns >= len(self._plan.tiles):
            return list(self._plan.tiles)
        self._note_motion(luma)
        interest = self._occupied.astype(np.intp) * 2 + self._moved + self._hot(heat)
        chosen = []
        for _ in range(turns):
            oldest = np.argsort(self._last_turn)
            by_interest = self._turns % 2 == 0
            index = int(oldest[interest[oldest].argmax()] if by_interest else oldest[0])
            interest[index] = -1  # no tile twice in one frame
            self._last_turn[index] = self._turns
            self._moved[index] = False
            self._turns += 1
            chosen.append(self._plan.tiles[index])
        return chosen

    def found(self, tile: Tile, *, something: bool) -> None:
        """Whether something was found in a tile."""
        self._occupied[self._index[tile]] = something

    def _hot(self, heat: Heat | None) -> NDArray[np.bool_]:
        """Which tiles (N,) overlap a hot cell."""
        is_hot = np.zeros(len(self._plan.tiles), np.bool_)
        if heat is not None:
            size, (rows, columns) = self._plan.frame, heat.cells.shape
            for index, tile in enumerate(self._plan.tiles):
                top, bottom = tile.y * rows // size.height, -(-(tile.y + tile.size.height) * rows // size.height)
                left, right = tile.x * columns // size.width, -(-(tile.x + tile.size.width) * columns // size.width)
                is_hot[index] = (heat.cells[top:bottom, left:right] >= HOT).any()
        return is_hot

    def _note_motion(self, luma: U8) -> None:
        """Remember which tiles differ from the frame before."""
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
            self._moved[index] |= is_new[rows, columns].any()
