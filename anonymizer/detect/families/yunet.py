"""YuNet: an anchor-free face detector with strides 8, 16, 32 (Wu et al. 2023, doi 10.1007/s11633-023-1423-y)."""

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
    probabilities,
    shapes_error,
    shapes_of,
    tensor,
)
from anonymizer.types import F32, Size

STRIDES_PX = (8, 16, 32)
LANDMARKS = 10  # x and y of five points


class YuNet:
    """Four outputs for each stride, told apart by shape: two scores (1, n, 1) after the sigmoid, box (1, n, 4), points.

    The two scores are `cls` and `obj`; which is which does not matter, for they are multiplied.
    """

    def __init__(self, size: Size, class_ids: ClassIds) -> None:
        self._size = size
        self._columns = Columns(class_ids)
        self._cells = np.concatenate([cell_centres(size, stride, 0.0) for stride in STRIDES_PX])

    @staticmethod
    def columns(size: Size, shapes: Shapes) -> int | None:
        """1 if the outputs are YuNet's."""
        return None if _names(size, shapes) is None else 1

    def decode(self, outputs: Mapping[str, F32], threshold: float) -> Candidates:
        """Faces of every cell at or above the threshold.

        Score = sqrt(cls x obj), centre = stride (cell + offset), side = stride x exp(encoding).
        """
        shapes = shapes_of(outputs)
        names = _names(self._size, shapes)
        if names is None:
            raise shapes_error("yunet", outputs)
        parts = [[probabilities(outputs, name, shapes[name])[0] for name in pair] for pair, _ in names]
        scores = np.concatenate([np.sqrt(first * second) for first, second in parts])
        encodings = np.concatenate([tensor(outputs, box, shapes[box])[0] for _, box in names])
        rows, reached, class_ids = self._columns.select(scores, threshold)
        encoded, cells = encodings[rows], self._cells[rows]
        stride = cells[:, 2:]
        centres = cells[:, :2] + stride * encoded[:, :2]
        with np.errstate(over="ignore"):
            half = stride * np.exp(encoded[:, 2:]) / 2
        return Candidates(np.concatenate([centres - half, centres + half], axis=1), reached, class_ids)


def _names(size: Size, shapes: Shapes) -> list[tuple[list[str], str]] | None:
    """For each stride the names of its two scores and of its boxes."""
    found = []
    for stride in STRIDES_PX:
        count = cell_count(size, stride)
        scores, boxes = names_of(shapes, (1, count, 1)), names_of(shapes, (1, count, 4))
        if len(scores) != 2 or len(boxes) != 1:
            return None
        found.append((scores, boxes[0]))
    return found
