"""How people and faces move: one sigma of speed and of its change in pixels, and how unsure that leaves a box.

Pure functions over arrays, shared by the tracker, which looks ahead, and by hindsight, which looks back.
"""

from __future__ import annotations

import numpy as np

from anonymizer.track.kalman import F64, Belief
from anonymizer.track.population import I64
from anonymizer.types import F32, I32, Target

HEIGHT_M = {Target.PERSON: 1.7, Target.FACE: 0.24}  # the ruler that turns metres into pixels
_HEIGHTS_M = np.array([HEIGHT_M[target] for target in Target])
# Tuned on the TUD-Campus sequence with simulated misses: more agility covers few people more and hides much scene.
SPEED_M_S = 1.5  # one sigma of how fast somebody moves who was seen once
AGILITY_M_S = 0.5  # one sigma of how much that changes within a second
SIDE_SPEED = 0.3  # the same two for the sides of a box: this fraction of the side a second
SIDE_AGILITY = 0.15
SPREAD_LIMIT = 0.5  # of the longer side: a wider mask would hide the scene rather than the person


def centres(boxes: F64) -> F64:
    """Boxes x1 y1 x2 y2 (N, 4) as centre x, centre y, width, height."""
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


def corners(belief: Belief) -> F32:
    """Boxes x1 y1 x2 y2 (N, 4)."""
    centre, half = belief.value[:, :2], belief.value[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def speeds(value: F64, targets: I32 | I64) -> F64:
    """One sigma (N, 4), pixels a second, of the unknown velocity of boxes (N, 4) that were seen once."""
    return _rates(value, targets, SPEED_M_S, SIDE_SPEED)


def agilities(value: F64, targets: I32 | I64) -> F64:
    """One sigma (N, 4), pixels a second, of how much a velocity changes within a second."""
    return _rates(value, targets, AGILITY_M_S, SIDE_AGILITY)


def spread(belief: Belief) -> F64:
    """One sigma of where the edges of each box are, in x and y (N, 2) pixels; limited."""
    return limited_spread(belief.value_var, belief.value)


def limited_spread(value_var: F64, value: F64) -> F64:
    """The same (N, 2) from the variances (N, 4) of centre and sides (N, 4)."""
    sigma = np.sqrt(value_var[:, :2] + value_var[:, 2:] / 4)
    limit = SPREAD_LIMIT * value[:, 2:].max(axis=1, initial=0.0)
    return np.asarray(np.minimum(sigma, limit[:, None]))


def _rates(value: F64, targets: I32 | I64, metres_s: float, side_rate: float) -> F64:
    """A movement of the centre in metres a second, of the sides as a fraction of the side; pixels a second (N, 4)."""
    heights_m = _HEIGHTS_M[targets]
    centre = value[:, 2:].max(axis=1, initial=0.0) / heights_m * metres_s
    return np.concatenate([centre[:, None], centre[:, None], side_rate * value[:, 2:]], axis=1)
