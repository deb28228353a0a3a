"""How boxes lie to each other: which are so near that they may be mixed up, and how much one covers of another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anonymizer.geometry import area
from anonymizer.types import F32

NEIGHBOUR = 0.25  # of a face's sides: within that around it there must be no other face of its size
MUCH_SMALLER = 0.67  # of the height of a face: a smaller one counts only where it lies on it
MOST_COVERED = 0.1  # of a face
MOST_HIDDEN = 0.35  # of a face, by the mask of somebody beside it


def near(faces: F32, others: F32, around: F32, reach: F32) -> NDArray[np.bool_]:
    """Which of the others (M, 4) may be mixed up with which face (N, 4): (N, M).

    `around` (N, 4) and `reach` (M, 4) are where they may be. Those that lie on it, and those of about its size that may
    be beside it: no track goes over to a much smaller or larger face that it does not overlap.
    """
    heights, theirs = (boxes[:, 3] - boxes[:, 1] for boxes in (faces, others))
    smaller, larger = np.minimum(heights[:, None], theirs), np.maximum(heights[:, None], theirs)
    beside = _meet(_with_surroundings(around), reach) | _meet(around, _with_surroundings(reach))
    lies_on = np.array([covered(face, others) > MOST_COVERED for face in faces], np.bool_).reshape(beside.shape)
    return np.asarray(lies_on | (beside & (smaller >= MUCH_SMALLER * larger)), np.bool_)


def covered(box: F32, others: F32) -> F32:
    """Which share of a box (4,) each of the others (M, 4) covers: (M,), 0-1; of a box without area: 1."""
    shared = np.concatenate([np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])], axis=1)
    whole = float(area(box[None])[0])
    return area(shared) / np.float32(whole) if whole > 0 else np.ones(len(others), np.float32)


def _meet(these: F32, those: F32) -> NDArray[np.bool_]:
    first, last = np.maximum(these[:, None, :2], those[None, :, :2]), np.minimum(these[:, None, 2:], those[None, :, 2:])
    return np.asarray((first < last).all(axis=2), np.bool_)


def _with_surroundings(boxes: F32) -> F32:
    margins = np.float32(NEIGHBOUR) * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - margins, boxes[:, 2:] + margins], axis=1)
