"""Plans the tiles in which a model finds faces down to a given height; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from anonymizer.detect.forms import form_for, usable_scale
from anonymizer.detect.letterbox import Fit, Letterbox
from anonymizer.detect.tiles import Tile
from anonymizer.types import Size

MAX_TILES = 64  # of one frame


@dataclass(frozen=True, slots=True)
class Eye:
    """The input of a face model, and the smallest face that it finds in it."""

    size: Size  # of the input
    fit: Fit
    min_face_px: int  # height in input pixels
    has_forms: bool = False  # whole frames are seen in the form that suits them

    def for_whole(self, frame: Size) -> Size:
        """The input in which a whole frame is seen; tiles are always cut for `size`."""
        return form_for(frame, self.size) if self.has_forms else self.size


@dataclass(frozen=True, slots=True)
class TilePlan:
    """What is searched in every frame of one size: the whole frame, and these tiles."""

    frame: Size
    tiles: tuple[Tile, ...]  # all of one size; empty if the whole frame is enough
    reach_px: int  # height in source pixels of the smallest face that is found

    @property
    def inferences(self) -> int:
        """How often the model runs to search the whole frame and every tile once."""
        return 1 + len(self.tiles)

    def __str__(self) -> str:
        what = f"{len(self.tiles)} tiles of {self.tiles[0].size} and the whole picture" if self.tiles else "no tiles"
        times = f"{self.inferences} inference{'s' if self.tiles else ''}"
        return f"{self.frame}: {what}, {times}, faces from {self.reach_px} px"


def plan_tiles(frame: Size, eye: Eye, reach_px: int) -> TilePlan:
    """The fewest tiles in which the model finds faces of `reach_px` source pixels and more.

    Tiles are scaled to the model's input so that a face of `reach_px` has `min_face_px` there. They overlap by the
    smallest face that the model finds in the whole frame, but by half a tile at most. So every such face that is no
    wider than high lies completely in one tile, or is found in the whole frame. If that took more than MAX_TILES, the
    plan's `reach_px` is larger: the smallest that is possible.
    """
    whole_px = math.ceil(eye.min_face_px / usable_scale(Letterbox.of(frame, eye.for_whole(frame), eye.fit)))
    while reach_px < whole_px:
        tile = Size(
            min(frame.width, _even(eye.size.width * reach_px / eye.min_face_px)),
            min(frame.height, _even(eye.size.height * reach_px / eye.min_face_px)),
        )
        columns = _starts(frame.width, tile.width, whole_px)
        rows = _starts(frame.height, tile.height, whole_px)
        if len(columns) * len(rows) <= MAX_TILES:
            return TilePlan(frame, tuple(Tile(x, y, tile) for y in rows for x in columns), reach_px)
        reach_px += 1
    return TilePlan(frame, (), whole_px)


def _even(length: float) -> int:
    return int(length) // 2 * 2


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Even start positions of tiles, evenly spread, that cover a length and overlap by `overlap` or half a tile."""
    stride = max(2, tile - min(overlap, tile // 2) - 2)  # starts are rounded down by less than 2
    gaps = math.ceil((length - tile) / stride)
    return [0, *(_even((length - tile) * index / gaps) for index in range(1, gaps + 1))]
