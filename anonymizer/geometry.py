"""Operations on arrays of boxes: float32 `x1 y1 x2 y2`, x2 and y2 exclusive, in any one coordinate frame."""

from __future__ import annotations

import numpy as np

from anonymizer.types import F32, Size


def area(boxes: F32) -> F32:
    """Areas (N,) of boxes (N, 4) in square units; an inside-out box has area 0.

    >>> area(np.float32([[0, 0, 4, 2], [5, 5, 3, 9]])).tolist()
    [8.0, 0.0]
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], np.float32(0))
    areas: F32 = sides[:, 0] * sides[:, 1]
    return areas


def iou_matrix(a: F32, b: F32) -> F32:
    """Intersection over union of every box of a (N, 4) with every box of b (M, 4): (N, M), 0-1.

    Boxes without area overlap nothing, not even themselves.

    >>> iou_matrix(np.float32([[0, 0, 2, 2]]), np.float32([[1, 0, 3, 2], [2, 0, 4, 2]])).round(3).tolist()
    [[0.3330000042915344, 0.0]]
    """
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    shared = np.maximum(width, np.float32(0)) * np.maximum(height, np.float32(0))
    union = area(a)[:, None] + area(b)[None, :] - shared
    iou: F32 = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def iou_pairs(a: F32, b: F32) -> F32:
    """Intersection over union (N,) of each box of a (N, 4) with that of the same row of b (N, 4), 0-1.

    >>> iou_pairs(np.float32([[0, 0, 2, 2], [0, 0, 2, 2]]), np.float32([[0, 0, 2, 1], [2, 0, 4, 2]])).tolist()
    [0.5, 0.0]
    """
    shared = shared_pairs(a, b)
    union = area(a) + area(b) - shared
    iou: F32 = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def shared_pairs(a: F32, b: F32) -> F32:
    """Area (N,) that each box of a (N, 4) shares with that of the same row of b (N, 4).

    >>> shared_pairs(np.float32([[0, 0, 2, 2]]), np.float32([[1, 1, 4, 4]])).tolist()
    [1.0]
    """
    return area(np.concatenate([np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])], axis=1))


def clip(boxes: F32, size: Size) -> F32:
    """Boxes (N, 4) cut off at the edges of a picture; one that lies outside keeps no area."""
    limits = np.array([size.width, size.height, size.width, size.height], np.float32)
    return np.clip(boxes, np.float32(0), limits)
