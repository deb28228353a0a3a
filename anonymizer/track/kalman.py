"""A batch of constant-velocity Kalman filters, one a box, for centre and sides; pure functions over arrays.

The four coordinates x, y, w, h of a box are independent of each other, so each is a filter of two states (value,
velocity) whose 2x2 covariance has a closed form: no matrix is ever built. Bar-Shalom, Li, Kirubarajan, "Estimation
with Applications to Tracking and Navigation", 2001, section 6.2.2 (continuous white noise acceleration): its
prediction over two steps equals that over their sum, so results do not depend on the frame rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymizer.pose import STILL, Pose

F64 = NDArray[np.float64]

MEASUREMENT_SIGMA = 0.06  # of the box's side: how much a detector's boxes jitter
MEASUREMENT_FLOOR_PX = 1.0
MIN_SIDE_PX = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """What is known of N boxes, in the order centre x, centre y, width, height; pixels, seconds."""

    moments: F64  # (5, N, 4): value, velocity, and the variances value, value with velocity, velocity

    @property
    def value(self) -> F64:
        """(N, 4)."""
        row: F64 = self.moments[0]
        return row

    @property
    def velocity(self) -> F64:
        """(N, 4) a second."""
        row: F64 = self.moments[1]
        return row

    @property
    def value_var(self) -> F64:
        """(N, 4)."""
        row: F64 = self.moments[2]
        return row

    @property
    def cross_var(self) -> F64:
        """(N, 4)."""
        row: F64 = self.moments[3]
        return row

    @property
    def velocity_var(self) -> F64:
        """(N, 4)."""
        row: F64 = self.moments[4]
        return row

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Belief:
        """The boxes of an index or boolean array."""
        return Belief(self.moments[:, index])

    def joined(self, *others: Belief) -> Belief:
        """These boxes and those of the others."""
        return Belief(np.concatenate([self.moments, *(other.moments for other in others)], axis=1))


def measurement_var(measured: F64) -> F64:
    """Variance (N, 4) of measured boxes (N, 4): a centre and a side jitter in proportion to the side."""
    sides = np.concatenate([measured[:, 2:], measured[:, 2:]], axis=1)
    return np.asarray(np.maximum(MEASUREMENT_SIGMA * sides, MEASUREMENT_FLOOR_PX) ** 2)


def begin(measured: F64, speed: F64) -> Belief:
    """Belief after one measurement (N, 4); `speed` (N, 4) is one sigma of the unknown velocity."""
    zeros = np.zeros_like(measured)
    return Belief(np.stack([measured, zeros, measurement_var(measured), zeros, speed**2]))


def turned(belief: Belief, motion: Pose) -> Belief:
    """The same belief in the pixels of a camera that has turned and zoomed."""
    if motion == STILL:
        return belief
    moments = belief.moments.copy()
    moments[:2] *= motion.scale
    moments[0, :, :2] += motion.dx, motion.dy
    moments[2:] *= motion.scale**2
    return Belief(moments)


def predict(belief: Belief, step_s: float | F64, agility: F64) -> Belief:
    """Belief `step_s` (for all, or (N, 1)) later, or earlier if negative; either way it becomes less certain.

    `agility` (N, 4) is how much a velocity may change (one sigma) within one second.
    """
    step = np.asarray(step_s, np.float64)
    span, noise = np.abs(step), agility**2
    moments = belief.moments.copy()
    moments[0] += step * belief.velocity
    moments[2] += 2 * step * belief.cross_var + span**2 * belief.velocity_var + noise * (span**3 / 3)
    moments[3] += step * belief.velocity_var + noise * (step * span / 2)
    moments[4] += noise * span
    return Belief(moments)


def correct(belief: Belief, measured: F64) -> Belief:
    """Belief after a measurement (N, 4) of every box."""
    surprise = measured - belief.value
    total_var = belief.value_var + measurement_var(measured)
    value_gain, velocity_gain = belief.value_var / total_var, belief.cross_var / total_var
    value = belief.value + value_gain * surprise
    value[:, 2:] = np.maximum(value[:, 2:], MIN_SIDE_PX)
    rest = 1 - value_gain
    return Belief(
        np.stack(
            [
                value,
                belief.velocity + velocity_gain * surprise,
                rest * belief.value_var,
                rest * belief.cross_var,
                belief.velocity_var - velocity_gain * belief.cross_var,
            ]
        )
    )
