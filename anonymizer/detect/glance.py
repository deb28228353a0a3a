"""The whole picture made small: who is near, larger than a model knows people, is of a size that it knows there."""

from __future__ import annotations

import math

import numpy as np

from anonymizer.detect.forms import STEP_PX
from anonymizer.detect.letterbox import Fit, Letterbox, shrink
from anonymizer.types import U8, Size

LONG_SIDE_PX = 256  # of the small input


def glance_size(whole: Size) -> Size:
    """The small input that goes with one for whole pictures, of about the same aspect."""
    scale = min(1.0, LONG_SIDE_PX / max(whole.width, whole.height))
    width, height = (STEP_PX * math.ceil(side * scale / STEP_PX) for side in (whole.width, whole.height))
    return Size(width, height)


def made_small(picture: U8, inner: Size, small: Size) -> tuple[U8, Letterbox]:
    """RGB (H, W, 3) of the size `small`, and where in it a model input (H, W, 3) lies.

    `inner` is what the camera's picture covers of that input, from its top-left corner.
    """
    box = Letterbox.of(inner, small, Fit.LETTERBOX)
    made: U8 = np.zeros((small.height, small.width, 3), np.uint8)
    shrink(picture[: inner.height, : inner.width], box.inner, made[: box.inner.height, : box.inner.width])
    return made, box
