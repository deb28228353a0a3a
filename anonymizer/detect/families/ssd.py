"""SSD with a MobileNet backbone: six grids of anchors, each with a box offset and a score per class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from anonymizer.detect.families.family import Candidates, ClassIds, Columns, Shapes, probabilities, tensor
from anonymizer.types import F32, Size

STRIDES_PX = (16, 32, 64, 128, 256, 512)
SCALE_MIN, SCALE_MAX = 0.2, 0.95  # of the input's side, on the first and last grid
RATIOS = (1.0, 2.0, 0.5, 3.0, 1 / 3)  # width by height
CENTRE_FACTOR, SIDE_FACTOR = 10.0, 5.0  # the box coder's variances


class Ssd:
    """Outputs `boxes` (1, N, 4), box-coder y, x, h, w, and `scores` (1, N, classes) after the sigmoid."""

    def __init__(self, size: Size, class_ids: ClassIds) -> None:
        self._anchors = anchors(size)
        self._columns = Columns(class_ids)

    @staticmethod
    def columns(size: Size, shapes: Shapes) -> int | None:
        """How many classes the outputs score, if they are this family's."""
        count = len(anchors(size))
        scores = shapes.get("scores", ())
        known = len(shapes) == 2 and shapes.get("boxes") == (1, count, 4) and len(scores) == 3
        return scores[2] if known and scores[:2] == (1, count) else None

    def decode(self, outputs: Mapping[str, F32], threshold: float) -> Candidates:
        """Boxes of every anchor and class at or above the threshold.

        Centre = encoding / 10 x anchor side + anchor centre, side = exp(encoding / 5) x anchor side.
        """
        count = len(self._anchors)
        depth = outputs["scores"].shape[-1:] if "scores" in outputs else (1,)
        scores = probabilities(outputs, "scores", (1, count, *depth))
        encodings = tensor(outputs, "boxes", (1, count, 4))
        rows, reached, class_ids = self._columns.select(scores[0], threshold)
        encoded, anchor = encodings[0, rows], self._anchors[rows]
        centres = encoded[:, :2] / CENTRE_FACTOR * anchor[:, 2:] + anchor[:, :2]
        with np.errstate(over="ignore"):
            sides = np.exp(encoded[:, 2:] / SIDE_FACTOR) * anchor[:, 2:]
        top_left, bottom_right = centres - sides / 2, centres + sides / 2
        return Candidates(
            boxes=np.concatenate([top_left[:, ::-1], bottom_right[:, ::-1]], axis=1),
            scores=reached,
            class_ids=class_ids,
        )


def anchors(size: Size) -> F32:
    """Anchor boxes (N, 4) as centre y, x and height, width in input pixels, in the order of the heads.

    The scheme of the TensorFlow Object Detection API (`multiple_grid_anchor_generator`, reduced lowest grid): 1917
    anchors for 300x300.
    """
    grids = []
    for layer, stride in enumerate(STRIDES_PX):
        rows, columns = -(-size.height // stride), -(-size.width // stride)
        shapes = np.array([(scale / ratio**0.5, scale * ratio**0.5) for scale, ratio in _shapes(layer)])
        y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
        centres = np.stack([y, x], axis=-1).reshape(-1, 1, 2)
        grid = np.concatenate(np.broadcast_arrays(centres, shapes[None]), axis=-1)
        grids.append(grid.reshape(-1, 4) * [size.height, size.width, size.height, size.width])
    return np.concatenate(grids).astype(np.float32)


def _shapes(layer: int) -> Iterator[tuple[float, float]]:
    """Scale and aspect ratio of the anchors in every cell of a grid."""
    step = (SCALE_MAX - SCALE_MIN) / (len(STRIDES_PX) - 1)
    scale = SCALE_MIN + step * layer
    if layer == 0:
        yield from ((0.1, 1.0), (scale, 2.0), (scale, 0.5))
        return
    yield from ((scale, ratio) for ratio in RATIOS)
    following = 1.0 if layer == len(STRIDES_PX) - 1 else scale + step
    yield (scale * following) ** 0.5, 1.0
