"""Where attention keeps seeing somebody whom no detection and no track explains; clock-free."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.policy.people import SPREAD_SIGMAS
from anonymizer.types import F32, HOT, Detections, Size, Target, Track

LOOKS = 3  # in a row until a place counts as unexplained, and until it no longer does
BODY = (1.0, 0.5, 1.0, 7.0)  # of a face's sides, left, up, right and down: about where the rest of its owner is

Box = tuple[float, float, float, float]
Cells = NDArray[np.bool_]


class Vigil:
    """Watches the heat of one camera, in the order of its frames.

    A cell is unexplained once it, or a neighbour, was hot in LOOKS looks in a row and no box was near; it is released
    after as many looks without that. What it answers only ever adds masks.
    """

    def __init__(self) -> None:
        self._streak: NDArray[np.int8] = np.zeros((0, 0), np.int8)
        self._unexplained: Cells = np.zeros((0, 0), np.bool_)

    def watch(self, found: Detections | None, tracks: Sequence[Track], size: Size) -> tuple[Box, ...]:
        """Boxes, in source pixels, around everything unexplained as of this frame.

        `found` are its own detections; without them, or without heat, what was unexplained before still is.
        """
        if found is not None and found.heat is not None:
            cells = found.heat.cells
            if cells.shape != self._streak.shape:
                self._streak = np.zeros(cells.shape, np.int8)
                self._unexplained = np.zeros(cells.shape, np.bool_)
            is_strange = _spread((cells >= HOT) & ~_explained(cells.shape, _explaining(found, tracks), size))
            self._streak = np.clip(self._streak + np.where(is_strange, 1, -1), 0, LOOKS).astype(np.int8)
            self._unexplained = (self._streak == LOOKS) | (self._unexplained & (self._streak > 0))
        return _boxes(self._unexplained, size)


def _explaining(found: Detections, tracks: Sequence[Track]) -> F32:
    """Boxes (N, 4) that explain the heat in them: everybody found or followed, and the bodies below faces."""
    grown = [
        (x1 - SPREAD_SIGMAS * dx, y1 - SPREAD_SIGMAS * dy, x2 + SPREAD_SIGMAS * dx, y2 + SPREAD_SIGMAS * dy)
        for (x1, y1, x2, y2), (dx, dy) in ((track.box, track.spread_px) for track in tracks)
    ]
    boxes = np.concatenate([found.boxes, np.array(grown, np.float32).reshape(-1, 4)])
    targets = np.concatenate([found.class_ids, np.array([track.target for track in tracks], np.int32)])
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    bodies = boxes + sides * (np.array(BODY, np.float32) * np.array([-1, -1, 1, 1], np.float32))
    explaining: F32 = np.where((targets == Target.FACE)[:, None], bodies, boxes).astype(np.float32)
    return explaining


def _explained(shape: tuple[int, ...], boxes: F32, size: Size) -> Cells:
    """The cells (rows, columns) that a box touches, and their neighbours: the heat of somebody reaches beyond them."""
    rows, columns = shape
    is_explained = np.zeros((rows, columns), np.bool_)
    across, down = columns / size.width, rows / size.height
    for x1, y1, x2, y2 in boxes.tolist():
        left, right = int(np.clip(x1 * across, 0, columns)), int(np.clip(np.ceil(x2 * across), 0, columns))
        top, bottom = int(np.clip(y1 * down, 0, rows)), int(np.clip(np.ceil(y2 * down), 0, rows))
        is_explained[top:bottom, left:right] = True
    return _spread(is_explained)


def _spread(cells: Cells) -> Cells:
    """The cells and their neighbours."""
    spread: Cells = cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return spread


def _boxes(cells: Cells, size: Size) -> tuple[Box, ...]:
    """A box around each connected group of cells, diagonal neighbours included."""
    if not cells.any():
        return ()
    across, down = size.width / cells.shape[1], size.height / cells.shape[0]
    _, _, groups, _ = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=8)
    return tuple(
        (x * across, y * down, (x + width) * across, (y + height) * down)
        for x, y, width, height, _ in groups[1:].tolist()  # the first one is the background
    )
