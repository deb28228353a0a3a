"""Which detection continues which track.

Two rounds as in ByteTrack (Zhang et al., ECCV 2022): confident detections choose first, weak ones may then continue
what is left. Overlap is measured between boxes that were both grown by how unsure the track is of its place (the
idea of buffered IoU: Yang et al., WACV 2023), so that small, fast faces stay together at low frame rates while
well-known tracks are matched strictly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anonymizer.types import F32, I32

Index = NDArray[np.intp]

LESSER = 0.6  # of a track's width and height: what is smaller both ways is somebody behind, not somebody who shrank


def associate(
    boxes: F32,
    slack_px: F32,
    targets: I32 | NDArray[np.int64],
    found: F32,
    found_targets: I32,
    strong: NDArray[np.bool_],
    min_overlap: float,
) -> tuple[Index, Index]:
    """Indices (K,) of tracks and (K,) of the detections that continue them; each occurs once at most.

    `boxes` (N, 4) are predicted, `slack_px` (N, 2) their uncertainty in x and y, `found` (M, 4) detected;
    `strong` (M,) marks the detections that choose first. Only equal targets meet. A detection that is far smaller than
    a track does not continue it: its mask would bare the larger one, who is only missed.
    """
    if not len(boxes) or not len(found):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    overlap = slack_iou(boxes, slack_px, found)
    overlap[targets[:, None] != found_targets[None, :]] = 0.0
    least = np.float32(LESSER) * (boxes[:, 2:] - boxes[:, :2])
    width, height = (found[:, 2:] - found[:, :2]).T
    overlap[(width < least[:, 0, None]) & (height < least[:, 1, None])] = 0.0
    tracks, detections = _greedy(np.where(strong, overlap, np.float32(0)), min_overlap)
    overlap[tracks] = 0.0
    more_tracks, more_detections = _greedy(np.where(strong, np.float32(0), overlap), min_overlap)
    return np.concatenate([tracks, more_tracks]), np.concatenate([detections, more_detections])


def slack_iou(boxes: F32, slack_px: F32, found: F32) -> F32:
    """Intersection over union (N, M) of `boxes` (N, 4) with `found` (M, 4), both grown by the slack (N, 2) of the box.

    >>> touching = np.float32([[10, 0, 20, 10]])
    >>> slack_iou(np.float32([[0, 0, 10, 10]]), np.float32([[0, 0]]), touching).tolist()
    [[0.0]]
    >>> slack_iou(np.float32([[0, 0, 10, 10]]), np.float32([[10, 0]]), touching).tolist()
    [[0.5]]
    """
    grow_x, grow_y = 2 * slack_px[:, 0, None], 2 * slack_px[:, 1, None]
    shared_x = np.minimum(boxes[:, 2, None], found[:, 2]) - np.maximum(boxes[:, 0, None], found[:, 0]) + grow_x
    shared_y = np.minimum(boxes[:, 3, None], found[:, 3]) - np.maximum(boxes[:, 1, None], found[:, 1]) + grow_y
    shared = np.maximum(shared_x, 0) * np.maximum(shared_y, 0)
    areas = (boxes[:, 2, None] - boxes[:, 0, None] + grow_x) * (boxes[:, 3, None] - boxes[:, 1, None] + grow_y)
    found_areas = (found[:, 2] - found[:, 0] + grow_x) * (found[:, 3] - found[:, 1] + grow_y)
    union = np.maximum(areas + found_areas - shared, np.finfo(np.float32).tiny)
    return np.asarray(shared / union)


def _greedy(overlap: F32, threshold: float) -> tuple[Index, Index]:
    """Pairs (row, column) from the best downward, each row and column once, as long as the overlap suffices."""
    rows, columns = np.nonzero(overlap >= threshold)
    order = np.argsort(-overlap[rows, columns], kind="stable")
    free_rows, free_columns = set(rows.tolist()), set(columns.tolist())
    pairs: list[tuple[int, int]] = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row in free_rows and column in free_columns:
            pairs.append((row, column))
            free_rows.remove(row)
            free_columns.remove(column)
    index = np.array(pairs, np.intp).reshape(-1, 2)
    return index[:, 0], index[:, 1]
