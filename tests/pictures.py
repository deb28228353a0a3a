"""Small pictures as files in memory, for the effect `image`."""

from __future__ import annotations

import cv2
import numpy as np


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
