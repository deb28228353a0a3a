"""The effect `mosaic`: every cell of the grid flat, in its rounded mean."""

from __future__ import annotations

from collections import OrderedDict

from anonymizer.redact.effect import Cover, Patch
from anonymizer.redact.grid import average, make_grid, rounded, spread
from anonymizer.types import U8

REMEMBERED_TRACKS = 512


class FrozenCells:
    """The cells that each track was first painted with; the track that was painted longest ago is forgotten."""

    def __init__(self) -> None:
        self._cells: OrderedDict[tuple[int, int], U8] = OrderedDict()

    def recall(self, track: tuple[int, int]) -> U8 | None:
        """The cells of a track, None if it is new."""
        cells = self._cells.get(track)
        if cells is not None:
            self._cells.move_to_end(track)
        return cells

    def keep(self, track: tuple[int, int], cells: U8) -> None:
        """Remember the cells of a new track."""
        self._cells[track] = cells
        if len(self._cells) > REMEMBERED_TRACKS:
            self._cells.popitem(last=False)


class Mosaic:
    """Paints cells; with `frozen`, a track keeps its first ones, so that further frames tell nothing more."""

    def __init__(self, cells: int, *, frozen: bool = False) -> None:
        self._cells = cells
        self._frozen = FrozenCells() if frozen else None

    def cover(self, patch: Patch) -> Cover:
        """The cells of the patch; those of a frozen track are stretched to it."""
        return spread(self._shown(patch), patch.area)

    def _shown(self, patch: Patch) -> U8:
        if self._frozen is None or patch.track is None:
            return self._average(patch)
        kept = self._frozen.recall(patch.track)
        if kept is None:
            kept = self._average(patch)
            self._frozen.keep(patch.track, kept)
        return kept

    def _average(self, patch: Patch) -> U8:
        return rounded(average(patch.picture, patch.area, make_grid(patch.area, self._cells)))
