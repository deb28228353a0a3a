"""RetinaNet: nine anchors in every cell of five grids (Lin et al. 2017, 1708.02002), laid out as torchvision does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from anonymizer.detect.families.family import (
    Candidates,
    ClassIds,
    Columns,
    Shapes,
    cell_count,
    names_of,
    probabilities,
    shapes_error,
    shapes_of,
    tensor,
)
from anonymizer.types import F32, Size

STRIDES_PX = (8, 16, 32, 64, 128)
OCTAVES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))  # of four strides
RATIOS = (0.5, 1.0, 2.0)  # height by width
MOST_GROWTH = float(np.log(1000 / 16))  # of an anchor's side, as a logarithm


class RetinaNet:
    """Outputs, told apart by shape: (1, N, 4) x, y, w, h relative to the anchor; (1, N, classes) after the sigmoid."""

    def __init__(self, size: Size, class_ids: ClassIds) -> None:
        self._anchors = anchors(size)
        self._columns = Columns(class_ids)
        self._size = size

    @staticmethod
    def columns(size: Size, shapes: Shapes) -> int | None:
        """How many classes the outputs score, if they are RetinaNet's."""
        names = _names(size, shapes)
        return None if names is None else shapes[names[1]][2]

    def decode(self, outputs: Mapping[str, F32], threshold: float) -> Candidates:
        """Boxes of every anchor and class at or above the threshold.

        Centre = anchor centre + encoding x anchor side, side = exp(encoding) x anchor side.
        """
        shapes = shapes_of(outputs)
        names = _names(self._size, shapes)
        if names is None:
            raise shapes_error("retinanet", outputs)
        boxes_name, scores_name = names
        encodings = tensor(outputs, boxes_name, shapes[boxes_name])[0]
        scores = probabilities(outputs, scores_name, shapes[scores_name])[0]
        rows, reached, class_ids = self._columns.select(scores, threshold)
        encoded, anchor = encodings[rows], self._anchors[rows]
        centres = anchor[:, :2] + encoded[:, :2] * anchor[:, 2:]
        half = np.exp(np.minimum(encoded[:, 2:], np.float32(MOST_GROWTH))) * anchor[:, 2:] / 2
        return Candidates(np.concatenate([centres - half, centres + half], axis=1), reached, class_ids)


def anchors(size: Size) -> F32:
    """Anchor boxes (N, 4) as centre x, y and width, height in input pixels: grid by grid, cell by cell."""
    grids = []
    for stride in STRIDES_PX:
        rows, columns = -(-size.height // stride), -(-size.width // stride)
        shapes = np.array([_shape(int(4 * stride * octave), ratio) for ratio in RATIOS for octave in OCTAVES])
        y, x = np.meshgrid(
            np.arange(rows) * (size.height // rows), np.arange(columns) * (size.width // columns), indexing="ij"
        )
        centres = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
        grids.append(np.concatenate(np.broadcast_arrays(centres, shapes[None]), axis=-1).reshape(-1, 4))
    return np.concatenate(grids).astype(np.float32)


def _shape(side: int, ratio: float) -> tuple[float, float]:
    """Width and height, of which each half is a whole number of pixels."""
    return 2 * round(side / ratio**0.5 / 2), 2 * round(side * ratio**0.5 / 2)


def _names(size: Size, shapes: Shapes) -> tuple[str, str] | None:
    """Names of boxes and scores."""
    count = len(OCTAVES) * len(RATIOS) * sum(cell_count(size, stride) for stride in STRIDES_PX)
    boxes = names_of(shapes, (1, count, 4))
    scores = [
        name for name, shape in shapes.items() if shape[:2] == (1, count) and len(shape) == 3 and name not in boxes
    ]
    return (boxes[0], scores[0]) if len(boxes) == len(scores) == 1 and len(shapes) == 2 else None
