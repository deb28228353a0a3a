"""NanoDet: in every cell class scores and four distances, each as a distribution (Li et al. 2020, 2006.04388)."""

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
PLUS_STRIDES_PX = (8, 16, 32, 64)
BINS = (8, 11)  # of the distribution of one distance, which is up to 7, or 10, strides
PLUS_OFFSET, OFFSET = 0.0, 0.5  # the point of a cell from which distances are measured, in strides


class NanoDet:
    """Scores after the sigmoid and distances as logits: left, top, right, bottom, each of 8 or 11 bins.

    Either two outputs for each of the strides 8, 16, 32, told apart by shape: (1, n, classes) and (1, n, 4 x bins); or
    one output (1, N, classes + 32) for these strides, or for 8, 16, 32, 64, as NanoDet-Plus has it.
    """

    def __init__(self, size: Size, class_ids: ClassIds) -> None:
        self._size = size
        self._columns = Columns(class_ids)
        self._cells = {
            len(cells): cells
            for cells in (_cells(size, STRIDES_PX, OFFSET), _cells(size, PLUS_STRIDES_PX, PLUS_OFFSET))
        }

    @staticmethod
    def columns(size: Size, shapes: Shapes) -> int | None:
        """How many classes the outputs score, if they are NanoDet's."""
        if _is_joined(size, shapes):
            ((_, _, depth),) = shapes.values()
            return depth - 4 * BINS[0]
        pairs = _pairs(size, shapes)
        return None if pairs is None else shapes[pairs[0][0]][2]

    def decode(self, outputs: Mapping[str, F32], threshold: float) -> Candidates:
        """Boxes of every cell and class at or above the threshold: distance = stride x mean of its distribution."""
        scores, logits = self._heads(outputs)
        rows, reached, class_ids = self._columns.select(scores, threshold)
        bins = logits.shape[1] // 4
        weights = logits[rows].reshape(-1, bins)
        weights -= weights.max(axis=1, keepdims=True)
        np.exp(weights, out=weights)
        total, first = (weights @ np.stack([np.ones(bins), np.arange(bins)], axis=1).astype(np.float32)).T
        distances = (first / total).reshape(-1, 4)
        cells = self._cells[len(scores)][rows]
        distances *= cells[:, 2:]
        boxes = np.concatenate([cells[:, :2] - distances[:, :2], cells[:, :2] + distances[:, 2:]], axis=1)
        return Candidates(boxes, reached, class_ids)

    def _heads(self, outputs: Mapping[str, F32]) -> tuple[F32, F32]:
        """Scores (N, classes) and logits (N, 4 x bins) of all cells."""
        shapes = shapes_of(outputs)
        if _is_joined(self._size, shapes):
            ((name, shape),) = shapes.items()
            values = tensor(outputs, name, shape)
            classes = shape[2] - 4 * BINS[0]
            return probabilities({name: values[..., :classes]}, name, (*shape[:2], classes))[0], values[0, :, classes:]
        pairs = _pairs(self._size, shapes)
        if pairs is None:
            raise shapes_error("nanodet", outputs)
        scores = [probabilities(outputs, name, shapes[name])[0] for name, _ in pairs]
        logits = [tensor(outputs, name, shapes[name])[0] for _, name in pairs]
        return np.concatenate(scores), np.concatenate(logits)


def _cells(size: Size, strides_px: tuple[int, ...], offset: float) -> F32:
    return np.concatenate([cell_centres(size, stride, offset) for stride in strides_px])


def _is_joined(size: Size, shapes: Shapes) -> bool:
    counts = [sum(cell_count(size, stride) for stride in strides) for strides in (STRIDES_PX, PLUS_STRIDES_PX)]
    return [len(shape) == 3 and shape[1] in counts and shape[2] > 4 * BINS[0] for shape in shapes.values()] == [True]


def _pairs(size: Size, shapes: Shapes) -> list[tuple[str, str]] | None:
    """The names of scores and distances for each stride; None if the outputs are not such pairs."""
    for bins in BINS:
        pairs = []
        for stride in STRIDES_PX:
            count = cell_count(size, stride)
            distances = names_of(shapes, (1, count, 4 * bins))
            scores = [name for name, shape in shapes.items() if shape[:2] == (1, count) and name not in distances]
            if len(distances) == len(scores) == 1:
                pairs.append((scores[0], distances[0]))
        depths = [shapes[scores][2:] for scores, _ in pairs]
        if len(shapes) == 2 * len(pairs) == 2 * len(STRIDES_PX) and len(depths[0]) == 1 == len(set(depths)):
            return pairs
    return None
