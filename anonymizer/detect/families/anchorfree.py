"""The detectors of scripts/train: anchor-free, with scores and a box for each cell of each level of a pyramid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from anonymizer.detect.families.family import (
    Candidates,
    ClassIds,
    Columns,
    Shapes,
    cell_centres,
    probabilities,
    shapes_error,
    shapes_of,
    tensor,
)
from anonymizer.types import F32, Size

STRIDES_PX = (4, 8, 16, 32, 64)  # a model has some of them, as its outputs tell


class AnchorFree:
    """Outputs `score_S` (1, h, w, classes) after the sigmoid and `box_S` (1, h, w, 4) for each stride S of h rows.

    A box is its centre minus the cell's, x and y in strides, and the logarithms of its width and height in strides.
    """

    def __init__(self, size: Size, class_ids: ClassIds) -> None:
        self._size = size
        self._columns = Columns(class_ids)
        self._cells = {stride: cell_centres(size, stride, 0.5) for stride in STRIDES_PX}

    @staticmethod
    def columns(size: Size, shapes: Shapes) -> int | None:
        """How many classes the outputs score, if they are of this family."""
        strides = [stride for stride in STRIDES_PX if f"score_{stride}" in shapes]
        depths = {shapes[f"score_{stride}"][-1] for stride in strides}
        if len(depths) != 1:
            return None
        depth = depths.pop()
        expected = {f"score_{stride}": (*_grid(size, stride), depth) for stride in strides}
        expected |= {f"box_{stride}": (*_grid(size, stride), 4) for stride in strides}
        return depth if shapes == expected else None

    def decode(self, outputs: Mapping[str, F32], threshold: float) -> Candidates:
        """Boxes of every cell and class at or above the threshold."""
        shapes = shapes_of(outputs)
        depth = self.columns(self._size, shapes)
        if depth is None:
            raise shapes_error("anchorfree", outputs)
        boxes, scores, class_ids = [], [], []
        for stride in STRIDES_PX:
            if f"score_{stride}" in shapes:
                score = probabilities(outputs, f"score_{stride}", shapes[f"score_{stride}"])
                encodings = tensor(outputs, f"box_{stride}", shapes[f"box_{stride}"])
                rows, reached, found = self._columns.select(score.reshape(-1, depth), threshold)
                boxes.append(_boxes(encodings.reshape(-1, 4)[rows], self._cells[stride][rows]))
                scores.append(reached)
                class_ids.append(found)
        return Candidates(np.concatenate(boxes), np.concatenate(scores), np.concatenate(class_ids))


def _boxes(encodings: F32, cells: F32) -> F32:
    centres = cells[:, :2] + encodings[:, :2] * cells[:, 2:]
    with np.errstate(over="ignore"):
        halves = np.exp(encodings[:, 2:]) * cells[:, 2:] / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def _grid(size: Size, stride_px: int) -> tuple[int, int, int]:
    return 1, -(-size.height // stride_px), -(-size.width // stride_px)
