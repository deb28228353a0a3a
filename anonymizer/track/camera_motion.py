"""Measures how a camera turns and zooms, from corners followed on the luma of its frames; clock-free.

Corners after Shi and Tomasi ("Good features to track", 1994), followed by pyramidal Lucas-Kanade (Bouguet, "Pyramidal
implementation of the affine Lucas Kanade feature tracker", 2001), and the similarity that most of them agree on.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.pose import STILL, Pose
from anonymizer.types import F32, U8

WIDTH = 320  # of the small picture in which corners are followed, pixels
BLOCK = 16  # pixels of it; the best corner of each block counts, so that nothing outvotes the rest by its texture
LEAST_CORNER = 1e-4  # lesser eigenvalue of the gradients around a corner; below it there is noise
LEAST = 24  # corners; fewer tell nothing
PROBES = 32  # of them are looked at first: a camera that stands still costs no more
UNMOVED = 0.3  # pixels; a corner that moves less stands still
STANDS = 0.25  # share of corners that stand still from which on the camera does
TURNS = 0.6  # share of corners that move as one if the camera turns; people may do otherwise
SECTIONS = 4  # rows and columns of the picture
SECTION_STANDS = 0.3  # share of its corners from which on a section stands still
FEW = 3  # corners in a section, of which fewer tell nothing
LETTERED = 2  # sections that may stand still in a turn: cameras write the time there; beside a bus that passes are more
AGREES = 1.0  # pixels that a corner may be off
MOST_ZOOM = 1.25  # from one frame to the next, in or out; more is a mistake
LASTS = 15  # frames after which corners are chosen anew

_WINDOW = (15, 15)
_LEVELS = 2
_ENOUGH = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.03)
_NONE: F32 = np.empty((0, 2), np.float32)


class CameraMotion:
    """Of one camera; used by one thread, which hands over its frames in order.

    In doubt the camera counts as standing still. Of its motion only shift and scale are told: a turn about the line of
    sight, and perspective, are small from one frame to the next.
    """

    def __init__(self) -> None:
        self._before: U8 | None = None  # the frame before, small
        self._corners = _NONE  # (N, 2) in it
        self._age = 0  # of the choice of corners, in frames
        self._pose = STILL

    def pose(self, luma: U8) -> Pose:
        """Where the camera points in this frame, given by its Y plane; raises cv2.error if that is no picture."""
        ratio = luma.shape[1] / WIDTH
        small = _reduced(luma, max(round(luma.shape[0] / ratio), BLOCK))
        if self._before is not None and self._before.shape == small.shape and len(self._corners) >= LEAST:
            step = self._step(self._before, small)
            self._pose = self._pose.then(Pose(step.scale, ratio * step.dx, ratio * step.dy))
            self._age += 1
        else:
            self._age = LASTS
        if self._age >= LASTS:
            self._corners, self._age = corners(small), 0
        self._before = small
        return self._pose

    def reset(self) -> None:
        """Forget the view: the next frame begins a new one."""
        self._before, self._corners, self._pose = None, _NONE, STILL

    def _step(self, before: U8, after: U8) -> Pose:
        """The motion between two small pictures; moves the corners along, or lets them be chosen anew."""
        probes = self._corners[:: max(len(self._corners) // PROBES, 1)]
        if _standing(probes, *_followed(before, after, probes)).mean() >= STANDS:
            return STILL
        there, is_found = _followed(before, after, self._corners)
        standing = _standing(self._corners, there, is_found)
        if standing.mean() < STANDS and _sections(self._corners, standing, before.shape) <= LETTERED:
            step, is_inlier = _similarity(self._corners[is_found], there[is_found])
            if is_inlier.sum() >= TURNS * len(self._corners):
                self._corners = there[is_found]  # those as well that go their own way: they may outvote the others yet
                return step
        self._age = LASTS
        return STILL


def _reduced(luma: U8, height: int) -> U8:
    """The small picture, in two steps: together they take a quarter of the time of one, and alias little."""
    twice = cv2.resize(luma, (2 * WIDTH, 2 * height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(twice, (WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)


def corners(small: U8) -> F32:
    """The best corner (N, 2) of each block of a picture that has one, as x and y."""
    strength = np.asarray(cv2.cornerMinEigenVal(small, 3), np.float32)
    rows, columns = (side // BLOCK for side in small.shape)
    grid = strength[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    blocks: F32 = grid.swapaxes(1, 2).reshape(rows * columns, BLOCK * BLOCK)
    best = blocks.argmax(axis=1)
    down, across = np.divmod(np.arange(rows * columns), columns)
    found = np.stack([across * BLOCK + best % BLOCK, down * BLOCK + best // BLOCK], axis=1).astype(np.float32)
    return np.asarray(found[blocks.max(axis=1) > LEAST_CORNER])


def _followed(before: U8, after: U8, points: F32) -> tuple[F32, NDArray[np.bool_]]:
    """Where points (N, 2) are in the other picture, and which (N,) of them were found again."""
    here = points[:, None]
    there, status, _ = cv2.calcOpticalFlowPyrLK(
        before, after, here, here.copy(), winSize=_WINDOW, maxLevel=_LEVELS, criteria=_ENOUGH
    )
    return np.asarray(there, np.float32)[:, 0], np.asarray(status)[:, 0] == 1


def _standing(here: F32, there: F32, is_found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which points (N,) of those found again have not moved."""
    return np.asarray(is_found & (np.hypot(*(there - here).T) < UNMOVED))


def _sections(points: F32, standing: NDArray[np.bool_], shape: tuple[int, ...]) -> int:
    """How many sections of the picture stand still, as their points (N, 2) do."""
    across, down = (points * SECTIONS // (shape[1], shape[0])).astype(np.intp).clip(0, SECTIONS - 1).T
    section = SECTIONS * down + across
    every, still = (np.bincount(section, weights=weights, minlength=SECTIONS**2) for weights in (None, standing))
    return int(((every >= FEW) & (still >= SECTION_STANDS * every)).sum())


def _similarity(here: F32, there: F32) -> tuple[Pose, NDArray[np.bool_]]:
    """The shift and scale that most points agree on, about the middle of the picture, and which of them (N,) do."""
    nobody = STILL, np.zeros(len(here), np.bool_)
    if len(here) < LEAST:
        return nobody
    matrix, inliers = cv2.estimateAffinePartial2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=AGREES)
    scale = 0.0 if matrix is None else float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if not 1 / MOST_ZOOM <= scale <= MOST_ZOOM:  # nor is NaN
        return nobody
    middle = here.mean(axis=0, dtype=np.float64)
    dx, dy = (matrix[:, :2] @ middle + matrix[:, 2] - scale * middle).tolist()
    return Pose(scale, dx, dy), inliers[:, 0] == 1
