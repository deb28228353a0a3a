"""Small pictures as files in memory, and how like two pictures are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from anonymizer.types import U8


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of grey (H, W), BGR (H, W, 3) or BGR and opacity (H, W, 4) pixels."""
    return bytes(cv2.imencode(".png", pixels)[1])


def disc(side: int = 32) -> np.ndarray:
    """An opaque yellow disc on a transparent ground, BGR and opacity."""
    y, x = np.indices((side, side)) + 0.5 - side / 2
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[x * x + y * y < side * side / 4] = (0, 220, 220, 255)
    return pixels


LOGO = png(disc())


def read_bgr(path: Path) -> U8:
    """The pixels (H, W, 3) BGR of a picture file."""
    pixels = cv2.imread(str(path))
    assert pixels is not None, f"{path} is no picture"
    return np.asarray(pixels, np.uint8)


def likeness(before: U8, after: U8) -> float:
    """Correlation of the fine structure (finer than an eighth of the width) of two (H, W) pictures, -1 to 1.

    0 where one of them is flat, as filled masks are.
    """
    kernel = max(3, before.shape[1] // 8 | 1)
    fine = [luma - cv2.blur(luma, (kernel, kernel)) for luma in (before.astype(np.float32), after.astype(np.float32))]
    if min(each.std() for each in fine) == 0:
        return 0.0
    return float(np.corrcoef(fine[0].ravel(), fine[1].ravel())[0, 1])
