"""Which detection continues which track.

Rounds as in ByteTrack (Zhang et al., ECCV 2022): confident detections choose first, weak ones may then continue what is
left. But a weak one where a track is expected goes before a confident one beside it: that is somebody else, whom a
track of their own masks in the frames before as well. Overlap is measured between boxes that were both grown by how
unsure the track is of its place (the idea of buffered IoU: Yang et al., WACV 2023), so that small, fast faces stay
together at low frame rates while well-known tracks are matched strictly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anonymizer.geometry import iou_pairs
from anonymizer.types import F32, I32

Index = NDArray[np.intp]

FOLLOWED_IOU = 0.5  # from which on somebody is where they were expected
LESSER = 0.6  # of the width and height: what is smaller both ways is somebody behind, not somebody who shrank


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

    `boxes` (N, 4) are predicted, `slack_px` (N, 2) their uncertainty in x and y, `found` (M, 4) detected; `strong` (M,)
    marks the detections that choose before others, among those where a track is expected and again among the rest. Only
    equal targets meet. A detection that is far smaller than a track does not continue it: its mask would bare the
    larger one, who is only missed. Nor does one that is far larger: until the track had grown it would bare whoever
    came in front.
    """
    rows, columns = _in_reach(boxes, slack_px, found)
    is_possible = (targets[rows] == found_targets[columns]) & _alike(boxes[rows], found[columns])
    rows, columns = _chosen(is_possible, rows, columns)
    overlap = slack_iou(boxes[rows], slack_px[rows], found[columns])
    is_enough = overlap >= min_overlap
    rows, columns = _chosen(is_enough, rows, columns)
    is_there = iou_pairs(boxes[rows], found[columns]) >= FOLLOWED_IOU
    rank = overlap[is_enough] + 2 * strong[columns] + 4 * is_there  # an overlap is less than a step of either
    order = np.argsort(-rank, kind="stable")
    return _greedy(rows[order], columns[order])


def slack_iou(boxes: F32, slack_px: F32, found: F32) -> F32:
    """Intersection over union (N,) of `boxes` (N, 4) with `found` (N, 4), both grown by the slack (N, 2) of the box.

    >>> touching = np.float32([[10, 0, 20, 10]])
    >>> slack_iou(np.float32([[0, 0, 10, 10]]), np.float32([[0, 0]]), touching).tolist()
    [0.0]
    >>> slack_iou(np.float32([[0, 0, 10, 10]]), np.float32([[10, 0]]), touching).tolist()
    [0.5]
    """
    return iou_pairs(_grown(boxes, slack_px), _grown(found, slack_px))


def _grown(boxes: F32, slack_px: F32) -> F32:
    return np.asarray(boxes + np.concatenate([-slack_px, slack_px], axis=1))


def _in_reach(boxes: F32, slack_px: F32, found: F32) -> tuple[Index, Index]:
    """The pairs whose grown boxes overlap at all: few of so many, and only these are looked at closely."""
    (left, top), (right, bottom) = (boxes[:, :2] - 2 * slack_px).T, (boxes[:, 2:] + 2 * slack_px).T
    across = (found[:, 0] < right[:, None]) & (found[:, 2] > left[:, None])
    down = (found[:, 1] < bottom[:, None]) & (found[:, 3] > top[:, None])
    rows, columns = np.nonzero(across & down)
    return rows, columns


def _alike(boxes: F32, found: F32) -> NDArray[np.bool_]:
    """Whether neither box (N, 4) of a pair is far smaller than the other, both ways: (N,)."""
    tracked, detected = boxes[:, 2:] - boxes[:, :2], found[:, 2:] - found[:, :2]
    least = np.float32(LESSER)
    return np.asarray(~((detected < least * tracked).all(axis=1) | (tracked < least * detected).all(axis=1)))


def _chosen(keep: NDArray[np.bool_], rows: Index, columns: Index) -> tuple[Index, Index]:
    return rows[keep], columns[keep]


def _greedy(rows: Index, columns: Index) -> tuple[Index, Index]:
    """Of pairs (row, column) from the first on, those whose row and column are still free."""
    free_rows, free_columns = set(rows.tolist()), set(columns.tolist())
    pairs: list[tuple[int, int]] = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if row in free_rows and column in free_columns:
            pairs.append((row, column))
            free_rows.remove(row)
            free_columns.remove(column)
    index = np.array(pairs, np.intp).reshape(-1, 2)
    return index[:, 0], index[:, 1]
