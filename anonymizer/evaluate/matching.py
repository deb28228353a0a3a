"""Matches detections with the ground truth of one picture, as COCO's evaluation does at one IoU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymizer.evaluate.sample import Flags
from anonymizer.geometry import area, iou_matrix
from anonymizer.types import F32

MATCH_IOU = 0.5
NOBODY = -1


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Ground truth of one picture; all arrays share N, N may be 0."""

    boxes: F32  # (N, 4)
    left_out: Flags  # (N,) neither hit nor miss: ignored by the data set, or not of the heights in question
    absorbs: Flags  # (N,) matches any number of detections: ignored by the data set, and so left out
    crowd: Flags  # (N,) absorbs, and its overlap is the share of the detection inside instead of the IoU


def match(boxes: F32, truth: Truth) -> NDArray[np.intp]:
    """For each box (D, 4), given by falling score, the row of the truth that it matches, or NOBODY: (D,).

    A box matches the truth, not yet matched, that it overlaps most, by MATCH_IOU at least; one that counts goes before
    one that is left out, and of equal overlaps the last. These are the rules of pycocotools' `evaluateImg`, but as in
    WIDER FACE and VOC, whatever the data set ignores matches any number of detections.
    """
    taken = np.full(len(boxes), NOBODY, np.intp)
    overlap = _overlap(boxes, truth)
    is_free = np.ones(len(truth.boxes), np.bool_)
    for row in np.flatnonzero((overlap >= MATCH_IOU).any(axis=1)).tolist():
        fits = is_free & (overlap[row] >= MATCH_IOU)
        for group in (fits & ~truth.left_out, fits & truth.left_out):
            if group.any():
                shares = np.where(group, overlap[row], -1.0)
                best = len(shares) - 1 - int(shares[::-1].argmax())
                taken[row] = best
                is_free[best] = truth.absorbs[best]
                break
    return taken


def _overlap(boxes: F32, truth: Truth) -> F32:
    """IoU (D, N); with a crowd, the shared part of the detection's own area."""
    iou = iou_matrix(boxes, truth.boxes)
    if truth.crowd.any():
        crowds = truth.boxes[truth.crowd]
        own, other = area(boxes)[:, None], area(crowds)[None, :]
        shares = iou[:, truth.crowd]
        shared = shares * (own + other) / (1 + shares)  # IoU = shared / (own + other - shared)
        iou[:, truth.crowd] = np.divide(shared, own, out=np.zeros_like(shared), where=own > 0)
    return iou
