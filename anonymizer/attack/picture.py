"""What each way of masking leaves of a face, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from anonymizer.attack.masking import Look, published
from anonymizer.attack.people import Face
from anonymizer.types import U8

TILE_PX = 112
QUALITY = 80


def draw(faces: Sequence[Face], looks: Sequence[Look], heights_px: Sequence[int]) -> bytes:
    """A JPEG file: a row for each face and size, a column for each look, in their order."""
    rng = np.random.default_rng(0)
    rows = [
        np.hstack([_tile(next(published(face, look, height_px, 1, rng))[0]) for look in looks])
        for face in faces
        for height_px in heights_px
    ]
    picture = cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])


def _tile(picture: U8) -> U8:
    """The middle of a picture as a square tile; small faces stay coarse."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    middle = picture[top : top + side, left : left + side]
    return np.asarray(cv2.resize(middle, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA), np.uint8)
