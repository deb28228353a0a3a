"""Class-wise non-maximum suppression: of boxes that show the same thing, the best one stays."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.errors import InvalidOutputError
from anonymizer.types import F32, I32

ANY_SCORE = -1.0


def nms(boxes: F32, scores: F32, class_ids: I32, *, iou: float, max_detections: int) -> NDArray[np.intp]:
    """Indices of the boxes (N, 4) that stay, by falling score; equal scores keep their order.

    A box goes when it overlaps a better one of its own class by more than `iou`. Scores are 0-1, ids from 0.
    Raises InvalidOutputError for NaN and infinite values, and when more than `max_detections` of one class stay:
    leaving some of them out would leave people unmasked.

    OpenCV's suppression took 0.1 ms for 200 boxes on 50 faces and 4.6 ms for 2000 on 400 (one x86 thread); a numpy
    loop took 11 ms. Listing overlapping pairs by a sweep took 3.5 ms, but 190 ms when all boxes lie on one spot.
    """
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise InvalidOutputError("the model returned boxes or scores that are NaN or infinite")
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1, dtype=np.float64)
    kept = cv2.dnn.NMSBoxesBatched(corner_and_size, scores, class_ids, ANY_SCORE, iou)  # type: ignore[arg-type]
    stay = np.asarray(kept, np.intp).reshape(-1)
    most = np.bincount(class_ids[stay], minlength=1).max()
    if most > max_detections:
        raise InvalidOutputError(
            f"the model returned {most} objects of one class, more than detect.max_detections ({max_detections})"
        )
    return stay
