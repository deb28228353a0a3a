"""BlazeFace: square anchors of one size, offsets in pixels (Bazarevsky et al. 2019, 1907.05047).

The anchors are those of MediaPipe's face detection: `short range` (128), `back` (256) and `full range` (192).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from anonymizer.detect.families.family import (
    Candidates,
    ClassIds,
    Columns,
    Shapes,
    cell_centres,
    cell_count,
    names_of,
    shapes_error,
    shapes_of,
    tensor,
)
from anonymizer.types import F32, Size

LAYOUTS = (((4, 1),), ((8, 2), (16, 6)), ((16, 2), (32, 6)))  # (stride in pixels, anchors a cell) of each grid
BOX_AND_LANDMARKS = 16  # centre x, y, width, height, then six points


class BlazeFace:
    """Outputs, told apart by shape: (1, N, 16) in input pixels relative to the anchor, (1, N, 1) before the sigmoid."""

    def __init__(self, size: Size, class_ids: ClassIds) -> None:
        anchors = (_anchors(size, layout) for layout in LAYOUTS)
        self._anchors = {len(centres): centres for centres in anchors}
        self._size = size
        self._columns = Columns(class_ids)

    @staticmethod
    def columns(size: Size, shapes: Shapes) -> int | None:
        """1 if the outputs are BlazeFace's."""
        return None if _names(size, shapes) is None else 1

    def decode(self, outputs: Mapping[str, F32], threshold: float) -> Candidates:
        """Faces of every anchor at or above the threshold: centre = anchor + offset, sides as they are."""
        shapes = shapes_of(outputs)
        names = _names(self._size, shapes)
        if names is None:
            raise shapes_error("blazeface", outputs)
        boxes_name, logits_name = names
        encoded = tensor(outputs, boxes_name, shapes[boxes_name])[0]
        logits = tensor(outputs, logits_name, shapes[logits_name])[0]
        scores = np.exp(-np.logaddexp(np.float32(0), -logits))  # the sigmoid, without overflow
        rows, reached, class_ids = self._columns.select(scores, threshold)
        centres = self._anchors[len(encoded)][rows] + encoded[rows, :2]
        half = encoded[rows, 2:4] / 2
        return Candidates(np.concatenate([centres - half, centres + half], axis=1), reached, class_ids)


def _names(size: Size, shapes: Shapes) -> tuple[str, str] | None:
    for layout in LAYOUTS:
        count = sum(cells * cell_count(size, stride) for stride, cells in layout)
        boxes, logits = names_of(shapes, (1, count, BOX_AND_LANDMARKS)), names_of(shapes, (1, count, 1))
        if len(boxes) == len(logits) == 1 and len(shapes) == 2:
            return boxes[0], logits[0]
    return None


def _anchors(size: Size, layout: tuple[tuple[int, int], ...]) -> F32:
    """Centres (N, 2) x, y in input pixels."""
    grids = [np.repeat(cell_centres(size, stride, 0.5)[:, :2], cells, axis=0) for stride, cells in layout]
    return np.concatenate(grids)
