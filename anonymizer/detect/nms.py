"""Class-wise non-maximum suppression: of boxes that show the same thing, the best one stays."""

from __future__ import annotations

from bisect import bisect_left

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.errors import InvalidOutputError
from anonymizer.types import F32, I32

ANY_SCORE = -1.0
FEW = 600  # boxes among which OpenCV is faster
Indices = NDArray[np.intp]


def nms(boxes: F32, scores: F32, class_ids: I32, *, iou: float, max_detections: int) -> Indices:
    """Indices of the boxes (N, 4) that stay, by falling score; equal scores keep their order.

    A box goes when it overlaps a better one of its own class by more than `iou`. Scores are 0-1, ids from 0.
    Raises InvalidOutputError for NaN and infinite values, and when more than `max_detections` of one class stay:
    leaving some of them out would leave people unmasked.
    """
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise InvalidOutputError("the model returned boxes or scores that are NaN or infinite")
    order = np.argsort(-scores, kind="stable")
    stays = np.zeros(len(boxes), np.bool_)
    for class_id in np.flatnonzero(np.bincount(class_ids)):
        mine = order[class_ids[order] == class_id]
        if len(mine) <= FEW:
            stay = mine[_each_with_all(boxes[mine], scores[mine], iou)]
        else:
            stay = mine[_each_with_its_neighbours(boxes[mine], iou)]
        if len(stay) > max_detections:
            raise InvalidOutputError(
                f"the model returned {len(stay)} objects of one class, more than detect.max_detections "
                f"({max_detections})"
            )
        stays[stay] = True
    return order[stays[order]]


def _each_with_all(boxes: F32, scores: F32, iou: float) -> Indices:
    """Which boxes of one class stay; OpenCV takes 10 ns for each box and each that stays, on one x86 thread."""
    corner_and_size = boxes.astype(np.float64)
    corner_and_size[:, 2:] -= corner_and_size[:, :2]
    one_class = np.zeros(len(boxes), np.int32)
    kept = cv2.dnn.NMSBoxesBatched(corner_and_size, scores, one_class, ANY_SCORE, iou)  # type: ignore[arg-type]
    return np.asarray(kept, np.intp).reshape(-1)


def _each_with_its_neighbours(boxes: F32, iou: float) -> Indices:
    """The same of boxes by falling score, in 12 us for each that stays: others are looked up by the x of their centre.

    Two boxes that overlap enough share that part of the wider one's width, so the centres of others are no farther from
    that of a box of width w than (1 - iou) w, or (1 / iou - 1) w / 2 if they are wider.
    """
    centres = boxes[:, 0] + boxes[:, 2]
    along = np.argsort(centres)
    sorted_boxes = boxes[along]
    x1, y1, x2, y2 = sorted_boxes.T.copy()
    share = np.float32(iou / (1 + iou))  # that two boxes share of the sum of their areas
    areas = (x2 - x1) * (y2 - y1) * share
    reach = 2 * max(1 - iou, (1 / iou - 1) / 2) + 1e-3
    places = centres[along].tolist()
    left = np.ones(len(boxes), np.bool_)
    is_left = left.data
    stay = []
    place_of = np.empty_like(along)
    place_of[along] = np.arange(len(along))
    for best in place_of.tolist():
        if is_left[best]:
            stay.append(best)
            left_edge, top, right, bottom = sorted_boxes[best].tolist()
            width, height = right - left_edge, bottom - top
            near = slice(
                bisect_left(places, places[best] - reach * width), bisect_left(places, places[best] + reach * width)
            )
            common = np.minimum(x2[near], right) - np.maximum(x1[near], left_edge)
            np.maximum(common, 0, out=common)
            common *= np.minimum(y2[near], bottom) - np.maximum(y1[near], top)
            left[near] &= common <= areas[near] + width * height * share
    return along[stay]
