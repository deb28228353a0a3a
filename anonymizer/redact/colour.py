"""RGB to the levels of Y, U and V in the colour space of a stream."""

from __future__ import annotations

import functools

import numpy as np

from anonymizer.types import F32, U8, Colour


def rgb_of(text: str) -> tuple[int, int, int]:
    """Levels 0-255 of a colour written as #RRGGBB."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


@functools.lru_cache(maxsize=16)
def levels_of(rgb: tuple[int, int, int], colour: Colour) -> tuple[int, int, int]:
    """Y, U and V of one colour."""
    y, u, v = yuv_of(np.array(rgb, np.uint8), colour).tolist()
    return y, u, v


def yuv_of(rgb: U8, colour: Colour) -> U8:
    """Y, U, V (..., 3) of R, G, B (..., 3), by ITU-R BT.601 or BT.709."""
    red, blue = (0.2126, 0.0722) if colour.bt709 else (0.299, 0.114)
    luma_span, chroma_span, black = (255.0, 255.0, 0.0) if colour.full_range else (219.0, 224.0, 16.0)
    levels: F32 = rgb.astype(np.float32) / np.float32(255.0)
    luma = levels @ np.array([red, 1.0 - red - blue, blue], np.float32)
    u = (levels[..., 2] - luma) / (2.0 * (1.0 - blue))
    v = (levels[..., 0] - luma) / (2.0 * (1.0 - red))
    yuv = np.stack([black + luma_span * luma, 128.0 + chroma_span * u, 128.0 + chroma_span * v], axis=-1)
    return np.clip(np.rint(yuv), 0, 255).astype(np.uint8)
