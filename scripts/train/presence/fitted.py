"""Stretches labelled pictures to a model's input, as the daemon does with frames for its attention."""

from __future__ import annotations

import cv2
import numpy as np

from anonymizer.types import F32, U8
from scripts.train.picture import Picture


def fitted(picture: Picture, width: int, height: int) -> tuple[U8, F32]:
    """The input (height, width, 3), and the people (N, 4) as shares of its sides."""
    rows, columns = picture.image.shape[:2]
    shrinks = width * height < rows * columns
    image = cv2.resize(picture.image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    shares = picture.boxes / np.array([columns, rows, columns, rows], np.float32)
    return np.asarray(image, np.uint8), shares.astype(np.float32)
