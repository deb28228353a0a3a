"""Class-wise non-maximum suppression: of boxes that overlap enough to show the same object, the best one stays."""

from __future__ import annotations

from bisect import bisect_left

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.errors import InvalidOutputError
from anonymizer.types import F32, I32

ANY_SCORE = -1.0
FEW = 600  # up to so many boxes of a class comparing all pairs, by OpenCV, is faster
Indices = NDArray[np.intp]


def nms(boxes: F32, scores: F32, class_ids: I32, *, iou: float, max_detections: int) -> Indices:
    """Indices of the boxes (N, 4) that stay, by falling score; equal scores keep their order.

    A box is dropped when its IoU with a better one of its own class is more than `iou`. Scores are 0-1, ids from 0.
    Raises InvalidOutputError for NaN and infinite values, and when more than `max_detections` boxes of one class stay,
    because dropping the rest would leave people unmasked.
    """
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise InvalidOutputError("the model returned boxes or scores that are NaN or infinite")
    order = np.argsort(-scores, kind="stable")
    stays = np.zeros(len(boxes), np.bool_)
    for class_id in np.flatnonzero(np.bincount(class_ids)):
        mine = order[class_ids[order] == class_id]
        if len(mine) <= FEW:
            stay = mine[_compare_all(boxes[mine], scores[mine], iou)]
        else:
            stay = mine[_compare_neighbours(boxes[mine], iou)]
        if len(stay) > max_detections:
            raise InvalidOutputError(
                f"the model returned {len(stay)} objects of one class, more than detect.max_detections "
                f"({max_detections})"
            )
        stays[stay] = True
    return order[stays[order]]


def _compare_all(boxes: F32, scores: F32, iou: float) -> Indices:
    """Which boxes (N, 4) of one class stay, by OpenCV: about 10 ns for each pair of a box and one that stays."""
    corner_and_size = boxes.astype(np.float64)
    corner_and_size[:, 2:] -= corner_and_size[:, :2]
    one_class = np.zeros(len(boxes), np.int32)
    kept = cv2.dnn.NMSBoxesBatched(corner_and_size, scores, one_class, ANY_SCORE, iou)  # type: ignore[arg-type]
    return np.asarray(kept, np.intp).reshape(-1)


def _compare_neighbours(boxes: F32, iou: float) -> Indices:
    """The same for boxes (N, 4) by falling score, in about 12 us for each that stays, however many the others are.

    A box that stays is compared only with those whose centre is near in x. Two boxes whose IoU is more than `iou` share
    at least that part of the wider one's width. So the centre of the other lies within (1 - iou) w of that of a box of
    width w if the other is narrower, and within (1 / iou - 1) w / 2 if it is wider.
    """
    centres = boxes[:, 0] + boxes[:, 2]  # twice the x of the centre
    by_centre = np.argsort(centres)
    sorted_boxes, sorted_centres = boxes[by_centre], centres[by_centre].tolist()
    x1, y1, x2, y2 = sorted_boxes.T.copy()
    share = np.float32(iou / (1 + iou))  # two boxes of this IoU share this part of the sum of their areas
    areas = (x2 - x1) * (y2 - y1) * share
    reach = 2 * max(1 - iou, (1 / iou - 1) / 2) + 1e-3
    candidates = np.ones(len(boxes), np.bool_)
    is_candidate = candidates.data  # reads single flags faster than the array
    place_of = np.empty_like(by_centre)
    place_of[by_centre] = np.arange(len(by_centre))
    stay = []
    for best in place_of.tolist():
        if is_candidate[best]:
            stay.append(best)
            left, top, right, bottom = sorted_boxes[best].tolist()
            width, height = right - left, bottom - top
            centre = sorted_centres[best]
            near = slice(
                bisect_left(sorted_centres, centre - reach * width), bisect_left(sorted_centres, centre + reach * width)
            )
            shared = np.minimum(x2[near], right) - np.maximum(x1[near], left)
            np.maximum(shared, 0, out=shared)
            shared *= np.minimum(y2[near], bottom) - np.maximum(y1[near], top)
            candidates[near] &= shared <= areas[near] + width * height * share
    return by_centre[stay]
