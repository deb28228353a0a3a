"""Static int8 from a float TFLite file and recorded value ranges: same ranges, same bytes."""

from __future__ import annotations

import contextlib
import io

import numpy as np
from ai_edge_litert import schema_py_generated as tfl
from ai_edge_quantizer import quantizer, recipe
from numpy.typing import NDArray

from scripts.models.calibration import Ranges
from scripts.models.graph import pack, read

CHANNEL_AXIS = {
    tfl.BuiltinOperator.CONV_2D: 0,
    tfl.BuiltinOperator.DEPTHWISE_CONV_2D: 3,
    tfl.BuiltinOperator.TRANSPOSE_CONV: 0,
}
LEAST_PEAK = (
    1e-3  # of the tensor's: the bias of a dead channel would not fit into 32 bits with the tiny scale due to it
)

F32 = NDArray[np.float32]


def to_int8(model: bytes, ranges: Ranges) -> bytes:
    """The model with int8 weights (per channel) and activations; its inputs and outputs are int8 as well."""
    values = {
        name: _span(np.full((1, 1, 1, 1), low), np.full((1, 1, 1, 1), high)) for name, (low, high) in ranges.items()
    }
    values |= {name: _span(-peak, peak) for name, peak in _weight_peaks(model).items()}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # progress bars
        result = quantizer.Quantizer(model, recipe.static_wi8_ai8()).quantize(values)
    return pack(read(bytes(result.quantized_model)))


def _span(low: NDArray[np.floating], high: NDArray[np.floating]) -> dict[str, F32]:
    return {"min": low.astype(np.float32), "max": high.astype(np.float32)}


def _weight_peaks(data: bytes) -> dict[str, F32]:
    model = read(data)
    graph = model.subgraphs[0]
    peaks = {}
    for op in graph.operators:
        axis = CHANNEL_AXIS.get(model.operatorCodes[op.opcodeIndex].builtinCode)
        if axis is not None:
            tensor = graph.tensors[op.inputs[1]]
            buffer = model.buffers[tensor.buffer].data
            weights = np.abs(np.frombuffer(bytes(buffer), np.float32).reshape(tensor.shape))
            others = tuple(other for other in range(4) if other != axis)
            peaks[tensor.name.decode()] = np.maximum(
                weights.max(axis=others, keepdims=True), LEAST_PEAK * weights.max()
            )
    return peaks
