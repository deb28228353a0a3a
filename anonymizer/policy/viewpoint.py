"""Tells when a camera turns, is moved or shows another scene, from small pictures of its frames; clock-free."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.types import F32, U8

SMALL = (64, 36)  # width and height in which views are compared
SAMPLES = 240  # pixels of a row that are looked at
SAME = 0.6  # correlation from which on two pictures show the same view; people who pass cost up to a third
OTHER = 0.3  # correlation below which, however shifted, they show different ones
AHEAD = 0.25  # how much better a shift must explain a picture than no shift
GREATEST = 3.0  # standard deviations; a lamp weighs no more than that
REFERENCE_FRAMES = 25  # until the view is compared with a newer frame: slow drift is not a move
SETTLED_FRAMES = 5  # in a row that show the same view end a move
LONGEST_FRAMES = 50  # of a move, after which frames without anything in common are noise, which never settles

Spectrum = NDArray[np.complex64]


class Viewpoint:
    """Watches the view of one camera; used by one thread.

    A change of light is none of view: pictures are compared without their brightness, contrast and gradients. A view
    without structure, such as a dark one, tells nothing and counts as unmoved.
    """

    def __init__(self) -> None:
        self._reference: Spectrum | None = None
        self._previous: Spectrum | None = None
        self._age = 0  # frames since the reference
        self._is_confirmed = False  # another frame showed the same view as the reference
        self._settled = SETTLED_FRAMES
        self._moving = 0  # frames since the move began

    def moved(self, luma: U8) -> bool:
        """Whether the view of this frame, given by its Y plane, is not settled since it last changed."""
        seen = _spectrum(luma)
        before, self._previous = self._previous, seen
        if self._reference is None or before is None:
            self._renew(seen)
            return False
        here, best = _correlations(self._reference, seen)
        is_same = here >= SAME
        if self._settled < SETTLED_FRAMES:
            self._settle(before, seen, is_same=is_same)
        elif not is_same and self._is_confirmed and (best >= here + AHEAD or _is_cut(before, seen)):
            self._settled = self._moving = 0
            self._renew(seen)
        elif self._age >= REFERENCE_FRAMES:
            self._renew(seen)
        self._is_confirmed |= is_same
        self._age += 1
        return self._settled < SETTLED_FRAMES

    def reset(self) -> None:
        """Forget the view: the next frame begins a new one."""
        self._reference = None
        self._settled = SETTLED_FRAMES

    def _settle(self, before: Spectrum, seen: Spectrum, *, is_same: bool) -> None:
        """A frame after a move: does the view stay as it was when last looked at?"""
        self._moving += 1
        self._settled = self._settled + 1 if is_same else 0
        if not is_same:
            self._renew(seen)
        if self._moving >= LONGEST_FRAMES and not is_same and _is_cut(before, seen):
            self._settled = SETTLED_FRAMES

    def _renew(self, seen: Spectrum) -> None:
        self._reference, self._age, self._is_confirmed = seen, 0, False


def _spectrum(luma: U8) -> Spectrum:
    """Fourier transform of the frame's small picture, normalised so that correlations lie in -1 to 1."""
    step = max(1, luma.shape[1] // SAMPLES)
    small = cv2.resize(luma[::step, ::step], SMALL, interpolation=cv2.INTER_AREA).astype(np.float32)
    detail = small - cv2.GaussianBlur(small, (0, 0), 3)
    detail = np.clip(detail / (detail.std() + 1.0), -GREATEST, GREATEST)  # + 1: sensor noise is no structure
    detail -= detail.mean()
    length = float(np.linalg.norm(detail)) + 1e-6
    spectrum: Spectrum = np.fft.rfft2(detail / length).astype(np.complex64)
    return spectrum


def _is_cut(before: Spectrum, seen: Spectrum) -> bool:
    """Whether two frames in a row have nothing in common, however shifted."""
    return _correlations(before, seen)[1] < OTHER


def _correlations(one: Spectrum, other: Spectrum) -> tuple[float, float]:
    """How well two pictures match as they are, and at the best shift."""
    found: F32 = np.fft.irfft2(one.conj() * other, s=SMALL[::-1]).astype(np.float32)
    return float(found[0, 0]), float(found.max())
