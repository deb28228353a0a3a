"""Corrects dark, hazy and grey pictures before a model sees them.

Whoever brightens a recording sees the people in it, so the models must find them as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np

from anonymizer.detect.infrared import is_grey, tint
from anonymizer.detect.letterbox import Letterbox
from anonymizer.types import U8, Target

SAMPLES = 64  # pixels sampled along the width of the picture
HAZE_LEVEL = 64  # where nearly every sample is brighter than this, there is haze
DARKEST_SHARE = 0.01  # of the samples: the few that may be darker than the haze
HAZE_CONTRAST = 8  # levels that the brightest sample must exceed the haze by; with less the lens is covered
CELL = 8  # samples along each side of a cell; every cell gets a gain of its own
LAMP_SAMPLES = 3  # so many of a cell's 64 samples may be lamps: the next brightest is the cell's level
DARK_LEVEL = 40.0  # cells up to this level are brightened to BRIGHT_LEVEL; the gain fades out up to DIM_LEVEL
DIM_LEVEL = 80.0
BRIGHT_LEVEL = 160.0
NIGHT_SHARE = 0.25  # of the cells must be below DIM_LEVEL: a black coat or a shadow alone is not brightened
MAX_GAIN = 8.0  # more would show mostly noise
_UNIT = 24  # value of a gain of 1 in a uint8


def bring_out(picture: U8, box: Letterbox, targets: Sequence[Target | None]) -> bool:
    """Correct, in place, the part of an RGB model input (H, W, 3) that the camera's picture covers.

    `targets` are what the model looks for. Returns whether the picture is faint, that is without colour, in haze or
    dark in parts: models score lower there.
    """
    is_brightened = brighten(picture, box)
    grey = is_grey(picture, box)
    if grey and Target.PERSON not in targets:  # persons are found by shape; a tint makes their scores a little lower
        tint(picture, box)
    return grey or is_brightened


def brighten(picture: U8, box: Letterbox) -> bool:
    """Remove haze and brighten dark cells, in place, in the part of an RGB model input that the picture covers.

    Returns whether anything was changed.
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
    """The level to subtract, that of nearly the darkest samples (rows, columns); 0 if there is no haze."""
    darkest = int(DARKEST_SHARE * levels.size)
    level: np.uint8 = np.partition(levels, darkest, axis=None)[darkest]
    return level if HAZE_LEVEL <= level <= int(levels.max()) - HAZE_CONTRAST else np.uint8(0)


def _gains(levels: U8) -> U8 | None:
    """The gain of each cell (rows, columns) in units of 1/24; None if no brightening is needed or no cell fits."""
    rows, columns = (side // CELL for side in levels.shape)
    if not rows or not columns:
        return None
    cells = levels[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).swapaxes(1, 2)
    samples = cells.reshape(rows, columns, CELL * CELL)
    level = np.partition(samples, -1 - LAMP_SAMPLES, axis=2)[..., -1 - LAMP_SAMPLES]
    if np.count_nonzero(level < DIM_LEVEL) < NIGHT_SHARE * level.size:
        return None
    known = np.maximum(level.astype(np.float32), 1.0)
    share = np.clip((DIM_LEVEL - known) / (DIM_LEVEL - DARK_LEVEL), 0.0, 1.0)
    gains = np.clip(BRIGHT_LEVEL / known, 1.0, MAX_GAIN) ** share * _UNIT
    return cast(U8, cv2.GaussianBlur(np.rint(gains).astype(np.uint8), (3, 3), 0, borderType=cv2.BORDER_REPLICATE))
