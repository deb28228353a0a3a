"""Shows a model what lies in the dark, in haze or without colour: whoever edits a published picture sees it, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np

from anonymizer.detect.infrared import is_grey, tint
from anonymizer.detect.letterbox import Letterbox
from anonymizer.types import U8, Target

SAMPLES = 64  # pixels looked at along the width of the picture
HAZE = 64  # where hardly anything is darker than this, that much light lies over all of the picture
DARKEST = 0.01  # hardly anything, as a share of the samples
FAINTEST = 8  # levels by which something stands out from haze; less is a covered lens
CELL = 8  # samples along each side of a cell, of which each has a gain of its own
BRIGHTEST = 3  # of a cell's 64 samples so many may be brighter than what counts as its level: lamps are
DARK = 40.0  # cells up to this level are lifted to BRIGHT, those from DIM on not at all
DIM = 80.0
NIGHT = 0.25  # share of the cells below DIM from which on it is night somewhere: a black coat or a shadow is none
BRIGHT = 160.0
MOST = 8.0  # more would show noise
_UNIT = 24  # of gains as bytes


def bring_out(picture: U8, box: Letterbox, targets: Sequence[Target | None]) -> bool:
    """In place: an RGB model input (H, W, 3), in the part that the camera's picture covers, for a model of targets.

    Says whether the picture is faint, that is without colour, in haze or dark in parts: models score lower there.
    """
    is_lifted = lift(picture, box)
    grey = is_grey(picture, box)
    if grey and Target.PERSON not in targets:  # persons are found by shape, and rather less with the tint of skin
        tint(picture, box)
    return grey or is_lifted


def lift(picture: U8, box: Letterbox) -> bool:
    """In place: an RGB model input (H, W, 3), in the part that the camera's picture covers; whether it was changed.

    Each part of the picture has a gain by how dark it is, and what lies over all of it as haze is taken off before.
    """
    seen = picture[: box.inner.height, : box.inner.width]
    step = max(1, seen.shape[1] // SAMPLES)
    levels = cast(U8, seen[::step, ::step].max(axis=2))
    haze = _haze(levels)
    if haze:
        np.subtract(seen, np.minimum(seen, haze), out=seen)
        levels -= np.minimum(levels, haze)
    gains = _gains(levels)
    if gains is None:
        return bool(haze)
    field = cast(U8, cv2.resize(gains, (box.inner.width, box.inner.height), interpolation=cv2.INTER_LINEAR))
    cv2.multiply(seen, cv2.merge([field] * 3), seen, 1 / _UNIT)
    return True


def _haze(levels: U8) -> np.uint8:
    """The level of the darkest samples; 0 if they are as dark as in clear air."""
    darkest = int(DARKEST * levels.size)
    level: np.uint8 = np.partition(levels, darkest, axis=None)[darkest]
    return level if HAZE <= level <= int(levels.max()) - FAINTEST else np.uint8(0)


def _gains(levels: U8) -> U8 | None:
    """The gain of each cell (rows, columns) in 24ths; None: there is no night, or hardly a picture."""
    rows, columns = (side // CELL for side in levels.shape)
    if not rows or not columns:
        return None
    cells = levels[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).swapaxes(1, 2)
    bright = np.partition(cells.reshape(rows, columns, CELL * CELL), -1 - BRIGHTEST, axis=2)[..., -1 - BRIGHTEST]
    if np.count_nonzero(bright < DIM) < NIGHT * bright.size:
        return None
    level = np.maximum(bright.astype(np.float32), 1.0)
    share = np.clip((DIM - level) / (DIM - DARK), 0.0, 1.0)
    gains = np.clip(BRIGHT / level, 1.0, MOST) ** share * _UNIT
    return cast(U8, cv2.GaussianBlur(np.rint(gains).astype(np.uint8), (3, 3), 0, borderType=cv2.BORDER_REPLICATE))
