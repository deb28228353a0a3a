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

F64 = NDArray[np.float64]

MEASUREMENT_SIGMA = 0.06  # of the box's side: how much a detector's boxes jitter
MEASUREMENT_FLOOR_PX = 1.0
MIN_SIDE_PX = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """What is known of N boxes: all arrays (N, 4) in the order centre x, centre y, width, height; pixels, seconds."""

    value: F64
    velocity: F64
    value_var: F64
    cross_var: F64
    velocity_var: F64

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Belief:
        """The rows of an index or boolean array."""
        return Belief(*(array[index] for array in self._arrays()))

    def joined(self, other: Belief) -> Belief:
        """The rows of both."""
        return Belief(*(np.concatenate(pair) for pair in zip(self._arrays(), other._arrays(), strict=True)))

    def _arrays(self) -> tuple[F64, ...]:
        return self.value, self.velocity, self.value_var, self.cross_var, self.velocity_var


def begin(measured: F64, speed: F64) -> Belief:
    """Belief after one measurement (N, 4); `speed` (N, 4) is one sigma of the unknown velocity."""
    zeros = np.zeros_like(measured)
    return Belief(measured, zeros, _measurement_var(measured), zeros, speed**2)


def predict(belief: Belief, step_s: float, agility: F64) -> Belief:
    """Belief `step_s` later, or earlier if negative; either way it becomes less certain.

    `agility` (N, 4) is how much a velocity may change (one sigma) within one second.
    """
    span, noise = abs(step_s), agility**2
    return Belief(
        belief.value + step_s * belief.velocity,
        belief.velocity,
        belief.value_var + 2 * step_s * belief.cross_var + span**2 * belief.velocity_var + noise * span**3 / 3,
        belief.cross_var + step_s * belief.velocity_var + np.sign(step_s) * noise * span**2 / 2,
        belief.velocity_var + noise * span,
    )


def correct(belief: Belief, measured: F64) -> Belief:
    """Belief after a measurement (N, 4) of every box."""
    surprise = measured - belief.value
    total_var = belief.value_var + _measurement_var(measured)
    value_gain, velocity_gain = belief.value_var / total_var, belief.cross_var / total_var
    value = belief.value + value_gain * surprise
    value[:, 2:] = np.maximum(value[:, 2:], MIN_SIDE_PX)
    return Belief(
        value,
        belief.velocity + velocity_gain * surprise,
        (1 - value_gain) * belief.value_var,
        (1 - value_gain) * belief.cross_var,
        belief.velocity_var - velocity_gain * belief.cross_var,
    )


def _measurement_var(measured: F64) -> F64:
    """Variance (N, 4): a centre and a side jitter in proportion to the side."""
    sides = np.tile(measured[:, 2:], 2)
    return np.asarray(np.maximum(MEASUREMENT_SIGMA * sides, MEASUREMENT_FLOOR_PX) ** 2)
