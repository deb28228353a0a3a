"""Tells when a view has stood still for a while, so that few looks say as much of it as many; clock-free."""

from __future__ import annotations

import cv2
import numpy as np

from anonymizer.types import F32, U8

CELLS = (128, 72)  # columns and rows in which views are compared: 15 pixels of 1080p, less than a face that is found
SAMPLES = 480  # pixels of a row that are looked at
FAINT = 6.0  # levels of 255; a cell that changes by less may be compression
NOISE_SIGMAS = 6.0  # of all cells' changes; nine thousand of them seldom hold one beyond
RESTLESS = 1.5  # times the greatest change that a cell and its neighbours lately showed
FORGETS_NS = 60_000_000_000  # in which half of that is forgotten
CALM_NS = 10_000_000_000  # without a change, before the first look is left out


class Stillness:
    """Watches the view of one camera between looks; used by one thread.

    A view is still while no cell differs from the last look by more than noise, or than what it always does: a clock
    in the picture, leaves, a screen. Light on the whole picture does not count. What it misses is found by the
    next look, which is never further away than `rest_ns`.
    """

    def __init__(self, rest_ns: int) -> None:
        """`rest_ns`: the longest time between two looks."""
        self._rest_ns = rest_ns
        self._seen: F32 | None = None  # at the last look
        self._restless: F32 = np.zeros(CELLS[::-1], np.float32)  # greatest change of each cell, half forgotten
        self._looked_ns = 0
        self._asked_ns = 0
        self._calm_since_ns: int | None = None

    @property
    def is_calm(self) -> bool:
        """Whether nothing has changed for so long that looks are left out; from then on ask about every frame."""
        return self._calm_since_ns is not None and self._asked_ns - self._calm_since_ns >= CALM_NS

    def rests(self, luma: U8, pts_ns: int) -> bool:
        """Whether this frame, given by its Y plane, need not be looked at even if a look is due; times must grow.

        Otherwise it is taken to be looked at. Raises cv2.error for a plane that is no picture.
        """
        small = _small(luma)
        before_ns, self._asked_ns = self._asked_ns, pts_ns
        if self._seen is None:
            change = np.zeros_like(small)
            self._calm_since_ns = None
        else:
            change = _apart(small, self._seen)
        if self._calm_since_ns is None or (change > self._limit(change)).any():
            self._calm_since_ns = pts_ns
        is_in_time = pts_ns - self._looked_ns + pts_ns - before_ns <= self._rest_ns  # the next frame may come as late
        if is_in_time and self.is_calm:
            return True
        self._learn(change, pts_ns - self._looked_ns)
        self._seen, self._looked_ns = small, pts_ns
        return False

    def disturb(self) -> None:
        """Something else says that not all is as it was: look as often as usual for a while."""
        self._calm_since_ns = None

    def reset(self) -> None:
        """Forget the view: the next frame begins a new one."""
        self._seen = None
        self._restless = np.zeros_like(self._restless)

    def _limit(self, change: F32) -> F32:
        """Levels (rows, columns) up to which each cell counts as unchanged."""
        sigma = 1.4826 * float(np.median(change))  # of normal noise, in which somebody may fill almost half of the view
        around = cv2.dilate(self._restless, np.ones((3, 3), np.uint8))
        limit: F32 = np.maximum(RESTLESS * around, max(FAINT, NOISE_SIGMAS * sigma)).astype(np.float32)
        return limit

    def _learn(self, change: F32, passed_ns: int) -> None:
        kept = np.float32(0.5 ** (max(passed_ns, 0) / FORGETS_NS))
        self._restless = np.maximum(self._restless * kept, change)


def _apart(one: F32, other: F32) -> F32:
    """How much each cell differs (rows, columns), but for brightness and contrast of the whole."""
    gain = np.median((one + 1) / (other + 1))
    change = one - np.float32(gain) * other
    apart: F32 = np.abs(change - np.median(change))
    return apart


def _small(luma: U8) -> F32:
    step = max(1, luma.shape[1] // SAMPLES)
    sampled = luma[::step, ::step].astype(np.float32)  # means in whole levels would hide how much noise there is
    return np.asarray(cv2.resize(sampled, CELLS, interpolation=cv2.INTER_AREA), np.float32)
