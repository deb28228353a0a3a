"""How people and faces move: one sigma of speed and of its change in pixels, and how unsure that leaves a box.

Pure functions over arrays, shared by the tracker, which looks ahead, and by hindsight, which looks back.
"""

from __future__ import annotations

import numpy as np

from anonymizer.track.kalman import F64, Belief
from anonymizer.track.population import I64
from anonymizer.types import F32, I32, Target

HEIGHT_M = {Target.PERSON: 1.7, Target.FACE: 0.24}  # the ruler that turns metres into pixels
# Tuned so that two sigmas hold about 97 in a hundred people seen once, a fifth of a second to a second later, on
# TUD-Campus and, with linked detections for truth, on two streets seen from above. More hides much scene. Up and down,
# faces go by how people walk, for tracks turn with the camera: `scripts/bench/misses.py` tells whether that is enough.
SPEED_M_S = {Target.PERSON: (1.0, 0.35), Target.FACE: (1.5, 0.6)}  # one sigma, across and up, of who was seen once
AGILITY_M_S = {Target.PERSON: (0.5, 0.18), Target.FACE: (0.5, 0.2)}  # one sigma of how much that changes in a second
SIDE_SPEED = 0.3  # the same two for the sides of a box: this fraction of the side a second
SIDE_AGILITY = 0.15
SPREAD_LIMIT = 0.5  # of the longer side: a wider mask would hide the scene rather than the person
_HEIGHTS_M = np.array([HEIGHT_M[target] for target in Target])
_SPEEDS_M_S = np.array([SPEED_M_S[target] for target in Target])
_AGILITIES_M_S = np.array([AGILITY_M_S[target] for target in Target])


def centres(boxes: F64) -> F64:
    """Boxes x1 y1 x2 y2 (N, 4) as centre x, centre y, width, height."""
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


def corners(belief: Belief) -> F32:
    """Boxes x1 y1 x2 y2 (N, 4)."""
    centre, half = belief.value[:, :2], belief.value[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def speeds(value: F64, targets: I32 | I64) -> F64:
    """One sigma (N, 4), pixels a second, of the unknown velocity of boxes (N, 4) that were seen once."""
    return _rates(value, targets, _SPEEDS_M_S, SIDE_SPEED)


def agilities(value: F64, targets: I32 | I64) -> F64:
    """One sigma (N, 4), pixels a second, of how much a velocity changes within a second."""
    return _rates(value, targets, _AGILITIES_M_S, SIDE_AGILITY)


def spread(belief: Belief) -> F64:
    """One sigma of where the edges of each box are, in x and y (N, 2) pixels; limited."""
    return limited_spread(belief.value_var, belief.value)


def limited_spread(value_var: F64, value: F64) -> F64:
    """The same (N, 2) from the variances (N, 4) of centre and sides (N, 4)."""
    sigma = np.sqrt(value_var[:, :2] + value_var[:, 2:] / 4)
    limit = SPREAD_LIMIT * value[:, 2:].max(axis=1, initial=0.0)
    return np.asarray(np.minimum(sigma, limit[:, None]))


def _rates(value: F64, targets: I32 | I64, metres_s: F64, side_rate: float) -> F64:
    """Pixels (N, 4): of the centre in metres a second (targets, 2), of the sides as a fraction of the side."""
    metre_px = value[:, 2:].max(axis=1, initial=0.0) / _HEIGHTS_M[targets]
    return np.concatenate([metre_px[:, None] * metres_s[targets], side_rate * value[:, 2:]], axis=1)
