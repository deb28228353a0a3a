"""A float32 TFLite graph to full int8, with the absolute ranges that canvases show, taken one at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from anonymizer.types import U8

sys.path.append(str(Path(__file__).parent.parent / "models"))  # whose modules know each other by bare names
import calibration
import quantise

SCORE = (0.0, 1.0)  # what a score can be, whatever the canvases show


def to_int8(model: bytes, canvases: Iterable[U8]) -> bytes:
    """The model with int8 weights and activations; canvases are (H, W, 3) RGB of its input's size."""
    ranges = calibration.measure(model, canvases, mean=0.0, limits={"score": SCORE, "image": (0.0, 255.0)})
    return quantise.to_int8(model, ranges)
