"""Tells when a camera turns fast, is pushed or shows another scene, from small pictures of its frames; clock-free."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.types import F32, U8

SMALL = (64, 36)  # width and height in which views are compared
SAMPLES = 240  # pixels of a row that are looked at
MATCH = 0.5  # correlation from which on two pictures show, at the best shift, the same things
OTHER = 0.3  # correlation below which they show different ones
AHEAD = 0.15  # how much better a shift must explain a picture than no shift
GREATEST = 3.0  # standard deviations; a lamp weighs no more than that
JUMP = 3.0  # shift, in pixels of the small picture, from one frame to the next: 5 in a hundred of the width
WINDOW_NS = 250_000_000  # time in which a faster shift than GLIDE is a move, and after which a view is settled
GLIDE = 8.0  # 12 in a hundred of the width, half of it in a second; detection and tracks keep up with less
LONGEST_NS = 3_000_000_000  # after which frames without anything in common are noise, which never settles
MOST = 32  # pictures kept

Spectrum = NDArray[np.complex64]


@dataclass(frozen=True, slots=True)
class _Match:
    """How two pictures fit together."""

    here: float  # correlation without any shift
    best: float  # and at the best one
    shift: float  # its length in pixels of the small picture

    @property
    def is_other(self) -> bool:
        return self.best < OTHER

    def is_shifted(self, by: float) -> bool:
        return self.best >= MATCH and self.best >= self.here + AHEAD and self.shift >= by


class Viewpoint:
    """Watches the view of one camera; used by one thread.

    A change of light is none of view: pictures are compared without their brightness, contrast and gradients. A view
    without structure, such as a dark one, tells nothing and counts as unmoved.
    """

    def __init__(self) -> None:
        self._kept: deque[tuple[int, Spectrum]] = deque(maxlen=MOST)  # with their times, oldest first
        self._is_view = False  # the newest two frames showed the same things
        self._began_ns: int | None = None  # of the move; None: the view is settled
        self._last_ns = 0  # when the move was last seen to go on

    def moved(self, luma: U8, pts_ns: int) -> bool:
        """Whether the view of this frame, given by its Y plane, is not settled since it last changed.

        Raises cv2.error for a plane that is no picture.
        """
        seen = _spectrum(luma)
        if self._kept:
            self._compare(seen, pts_ns)
        while len(self._kept) > 1 and pts_ns - self._kept[1][0] >= WINDOW_NS:
            self._kept.popleft()
        self._kept.append((pts_ns, seen))
        if self._began_ns is not None and not 0 <= pts_ns - self._last_ns < WINDOW_NS:
            self._began_ns = None
        return self._began_ns is not None

    def reset(self) -> None:
        """Forget the view: the next frame begins a new one."""
        self._kept.clear()
        self._is_view = False
        self._began_ns = None

    def _compare(self, seen: Spectrum, pts_ns: int) -> None:
        step, glide = _match(self._kept[-1][1], seen), _match(self._kept[0][1], seen)
        was_view, self._is_view = self._is_view, step.best >= MATCH
        is_cut = step.is_other and was_view
        goes_on = False
        if self._began_ns is not None:
            goes_on = step.is_shifted(1.0) or (step.is_other and pts_ns - self._began_ns < LONGEST_NS)
        if is_cut or goes_on or step.is_shifted(JUMP) or glide.is_shifted(GLIDE):
            if self._began_ns is None:
                self._began_ns = pts_ns
            self._last_ns = pts_ns


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


def _match(one: Spectrum, other: Spectrum) -> _Match:
    found: F32 = np.fft.irfft2(one.conj() * other, s=SMALL[::-1]).astype(np.float32)
    best = int(found.argmax())
    down, across = divmod(best, SMALL[0])
    shift = np.hypot(min(down, SMALL[1] - down), min(across, SMALL[0] - across))
    return _Match(float(found[0, 0]), float(found.flat[best]), float(shift))
