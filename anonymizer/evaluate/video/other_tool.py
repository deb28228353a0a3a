"""Reads the masks of a clip that another tool masked with one colour from its pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from anonymizer.errors import DatasetError
from anonymizer.evaluate.coverage import mask_of_colour
from anonymizer.evaluate.sample import Flags
from anonymizer.types import U8

FILL_TOLERANCE = 60  # levels of a channel by which compressed video may miss the fill colour
RIM_PX = 2  # added around masks, in the other tool's favour: compression mixes their rim into the surroundings


def masks_of(anonymized: Path, original: Path, fill: tuple[int, int, int]) -> Iterator[tuple[int, Flags]]:
    """The time in ns and the mask (H, W) of each frame of the original; `fill` is B, G, R.

    Raises DatasetError if the clips do not match.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RIM_PX + 1, 2 * RIM_PX + 1))
    masked, plain = _open(anonymized), _open(original)
    step_ns = round(1e9 / (plain.get(cv2.CAP_PROP_FPS) or 25.0))
    time_ns = -step_ns
    while True:
        picture, before = _next(masked), _next(plain)
        if picture is None and before is None:
            return
        if picture is None or before is None or picture.shape != before.shape:
            raise DatasetError(
                f"{anonymized}: has other frames than {original}: measure a clip that was neither cut nor resized"
            )
        shown_ns = round(plain.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        time_ns = shown_ns if shown_ns > time_ns else time_ns + step_ns  # raw streams have no times
        mask = mask_of_colour(picture, before, fill, FILL_TOLERANCE)
        yield time_ns, cv2.dilate(mask.astype(np.uint8), disc) != 0


def _open(path: Path) -> cv2.VideoCapture:
    reader = cv2.VideoCapture(str(path))
    if not reader.isOpened():
        raise DatasetError(f"{path}: is missing or no video that can be read")
    return reader


def _next(reader: cv2.VideoCapture) -> U8 | None:
    found, picture = reader.read()
    return cast(U8, picture) if found else None
