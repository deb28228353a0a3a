"""A float32 TFLite graph to full int8, with the absolute ranges that canvases show, taken one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from anonymizer.types import U8
from scripts.models import calibration, quantise

SCORES = {"score": (0.0, 1.0)}  # what a score can be, whatever the canvases show


def to_int8(
    model: bytes,
    canvases: Iterable[U8],
    *,
    mean: float = 0.0,
    limits: Mapping[str, tuple[float, float]] = SCORES,
) -> bytes:
    """The model, whose input is RGB less `mean`, with int8 weights and activations.

    Canvases are (H, W, 3) RGB of its input's size; `limits` are the ranges of tensors by how their names begin.
    """
    ranges = calibration.measure(model, canvases, mean=mean, limits={**limits, "image": (-mean, 255.0 - mean)})
    return quantise.to_int8(model, ranges)
