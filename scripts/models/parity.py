"""Compares a built model with its source, cell by cell, through the decoders that the program itself uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from anonymizer.detect.families import make_family
from anonymizer.types import Size
from anonymizer.zoo import ModelSpec

U8 = NDArray[np.uint8]
Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Parity:
    """Over all cells that the source scores at or above the model's threshold."""

    cells: int
    score_error: float  # mean absolute difference of scores
    iou: float  # mean overlap of the source's box and ours
    kept: float  # share that we score at or above half the threshold
    invented: int  # cells at or above the threshold that the source scores below half of it

    def __str__(self) -> str:
        return (
            f"{self.cells} cells, score error {self.score_error:.4f}, IoU {self.iou:.4f}, "
            f"kept {100 * self.kept:.1f} %, invented {self.invented}"
        )


def compare(spec: ModelSpec, model: bytes, reference: Callable[[U8], Outputs], inputs: Sequence[U8]) -> Parity:
    """Both networks on the same inputs; `reference` gives the source's outputs under our names."""
    family = make_family(spec.family, Size(spec.input.width, spec.input.height), spec.classes)
    interpreter = Interpreter(model_content=model, num_threads=2)
    interpreter.allocate_tensors()
    theirs = [family.decode(reference(picture), 0.0) for picture in inputs]
    ours = [family.decode(_run(interpreter, picture, spec.input.mean), 0.0) for picture in inputs]
    scores = np.concatenate([item.scores for item in theirs]), np.concatenate([item.scores for item in ours])
    boxes = np.concatenate([item.boxes for item in theirs]), np.concatenate([item.boxes for item in ours])
    seen = scores[0] >= spec.threshold
    if not seen.any():
        raise SystemExit(f"{spec.name}: the source sees nothing in the parity pictures")
    return Parity(
        cells=int(seen.sum()),
        score_error=float(np.abs(scores[0] - scores[1])[seen].mean()),
        iou=float(_iou(boxes[0][seen], boxes[1][seen]).mean()),
        kept=float((scores[1][seen] >= spec.threshold / 2).mean()),
        invented=int(((scores[1] >= spec.threshold) & (scores[0] < spec.threshold / 2)).sum()),
    )


def _run(interpreter: Interpreter, picture: U8, mean: float) -> Outputs:
    image = interpreter.get_input_details()[0]
    values = picture.astype(np.float32) - np.float32(mean)
    if image["dtype"] is np.int8:
        step, zero = image["quantization"]
        values = np.rint(values / step + zero).astype(np.int8)
    interpreter.set_tensor(image["index"], values[None])
    interpreter.invoke()
    outputs = {}
    for item in interpreter.get_output_details():
        tensor = interpreter.get_tensor(item["index"])
        if tensor.dtype == np.int8:
            step, zero = item["quantization"]
            tensor = (tensor.astype(np.float32) - zero) * np.float32(step)
        outputs[item["name"]] = tensor
    return outputs


def _iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    inner = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(axis=1)
    areas = [(box[:, 2:] - box[:, :2]).prod(axis=1) for box in (a, b)]
    return inner / (areas[0] + areas[1] - inner)
