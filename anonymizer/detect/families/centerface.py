"""CenterFace: one cell in four pixels, each with the score, size and centre of a face (Xu et al. 2019, 1911.03599)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from anonymizer.detect.families.family import Candidates, ClassIds, Columns, Shapes, probabilities, tensor
from anonymizer.types import F32, Size

STRIDE_PX = 4


class CenterFace:
    """Outputs `heat` (1, h, w, 1) after the sigmoid, `scale` and `offset` (1, h, w, 2) as y, x; h, w = size / 4."""

    def __init__(self, size: Size, class_ids: ClassIds) -> None:
        self._grid = _grid(size)
        self._columns = Columns(class_ids)

    @staticmethod
    def columns(size: Size, shapes: Shapes) -> int | None:
        """1 if the outputs are CenterFace's."""
        depths = {"heat": 1, "scale": 2, "offset": 2}
        return 1 if shapes == {name: (*_grid(size), depth) for name, depth in depths.items()} else None

    def decode(self, outputs: Mapping[str, F32], threshold: float) -> Candidates:
        """Faces of every cell at or above the threshold: side = 4 exp(scale), centre = 4 (cell + offset + 1/2).

        Neighbours of a local maximum stay in: dropping them saved 0.1 ms and lost one in a hundred faces.
        """
        heat = probabilities(outputs, "heat", (*self._grid, 1))
        scale = tensor(outputs, "scale", (*self._grid, 2))
        offset = tensor(outputs, "offset", (*self._grid, 2))
        cells, scores, class_ids = self._columns.select(heat.reshape(-1, 1), threshold)
        rows, columns = np.divmod(cells, self._grid[2])
        with np.errstate(over="ignore"):
            sides = STRIDE_PX * np.exp(scale[0, rows, columns])
        corners = np.stack([rows, columns], axis=1).astype(np.float32)
        centres = STRIDE_PX * (corners + offset[0, rows, columns] + np.float32(0.5))
        top_left, bottom_right = centres - sides / 2, centres + sides / 2
        return Candidates(
            boxes=np.concatenate([top_left[:, ::-1], bottom_right[:, ::-1]], axis=1),
            scores=scores,
            class_ids=class_ids,
        )


def _grid(size: Size) -> tuple[int, int, int]:
    return 1, size.height // STRIDE_PX, size.width // STRIDE_PX
