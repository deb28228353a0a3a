"""NanoDet-g: the TensorFlow.js files of the human-models package, cut down to their class person."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from scripts.models import equalise
from scripts.models.graph import NO_ACTIVATION, SAME, VALID, GraphWriter
from scripts.models.sources import Read, checked

TOPOLOGY, TOPOLOGY_SHA256 = "models/nanodet.json", "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d"
STRIDES_PX = {"PartitionedCall/Add_29": 8, "PartitionedCall/Add_33": 16, "PartitionedCall/Add_37": 32}
"""The heads of the source: 80 classes, then four distributions of 11 bins."""
ENLARGED = ("PartitionedCall/resize/ResizeBilinear", "PartitionedCall/resize_1/ResizeBilinear")  # others are halved
PERSON, CLASSES = 0, 80
MEAN_BGR, STD_BGR = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
GREY = 128.0  # what our input takes as zero
LIMITS = {"image": (-128.0, 127.0)}

F32 = NDArray[np.float32]


def to_onnx(weights: bytes, read: Read) -> bytes:
    """The same network as ONNX, planar, up to its heads: BGR, normalised, (1, 3, height, width), sides multiples of 32.

    What follows the heads (a sigmoid over the classes, reshapes) is left out.
    """
    source = json.loads(checked(read(TOPOLOGY), TOPOLOGY_SHA256, TOPOLOGY))
    nodes = source["modelTopology"]["node"]
    constants = _constants(source["weightsManifest"][0]["weights"], weights)
    inputs = {node["name"]: [name.partition(":")[0] for name in node.get("input", [])] for node in nodes}
    padded = {node["name"] for node in nodes if node["op"] in ("Pad", "PadV2")}
    same = {"Transpose", "Identity", "Pad", "PadV2"}  # layout, and padding that the next op does itself
    aliases = {node["name"]: inputs[node["name"]][0] for node in nodes if node["op"] in same}

    def real(name: str) -> tuple[str, int]:
        """The tensor behind transposes, and by how many pixels it is padded on each side."""
        pad = 0
        while name in aliases:
            pad += name in padded
            name = aliases[name]
        return name, pad

    made: list[onnx.NodeProto] = []
    initial: dict[str, F32] = {"none": np.zeros(0, np.float32)}
    convolutions: dict[str, onnx.NodeProto] = {}
    for node in nodes:
        name, op, attributes = node["name"], node["op"], node["attr"]
        if op in ("ConcatV2", "Add"):
            tensors = [real(item)[0] for item in inputs[name] if item not in constants]
            if len(tensors) == 1:  # a bias
                convolution = convolutions[tensors[0]]
                convolution.input.append(inputs[name][1])
                convolution.output[0] = name
                initial[inputs[name][1]] = constants[inputs[name][1]]
            elif op == "Add":
                made.append(helper.make_node("Add", tensors, [name]))
            else:
                made.append(helper.make_node("Concat", tensors, [name], axis=1))
        if op not in ("Conv2D", "LeakyRelu", "MaxPool", "ResizeBilinear"):
            continue
        x, pad = real(inputs[name][0])
        if op == "Conv2D":
            filters = inputs[name][1]
            initial[filters] = constants[filters].transpose(3, 2, 0, 1)
            convolutions[name] = helper.make_node(
                "Conv", [x, filters], [name], kernel_shape=initial[filters].shape[2:], pads=[pad] * 4,
                strides=_sides(attributes["strides"]), group=1,
            )  # fmt: skip
            made.append(convolutions[name])
        elif op == "LeakyRelu":
            made.append(helper.make_node("LeakyRelu", [x], [name], alpha=attributes["alpha"]["f"]))
        elif op == "MaxPool":
            sides = {"kernel_shape": _sides(attributes["ksize"]), "strides": _sides(attributes["strides"])}
            made.append(helper.make_node("MaxPool", [x], [name], pads=[pad] * 4, **sides))
        else:
            factor = 2.0 if name in ENLARGED else 0.5
            initial[f"{name}/scales"] = np.array([1, 1, factor, factor], np.float32)
            tensors, half_pixel = [x, "none", f"{name}/scales"], {"coordinate_transformation_mode": "half_pixel"}
            made.append(helper.make_node("Resize", tensors, [name], mode="linear", **half_pixel))
    graph = helper.make_graph(
        made,
        "nanodet",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 416, 416])],
        [helper.make_empty_tensor_value_info(name) for name in STRIDES_PX],
        [numpy_helper.from_array(values, name) for name, values in initial.items()],
    )
    for node in graph.node:
        node.input[:] = ["image" if name == "input_1" else name for name in node.input]
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    return model.SerializeToString()


def _constants(manifest: list[dict[str, Any]], data: bytes) -> dict[str, F32]:
    """The constants by name; floats are stored in half precision."""
    constants, start = {}, 0
    for item in manifest:
        stored = np.dtype(item["quantization"]["dtype"] if "quantization" in item else item["dtype"])
        count = int(np.prod(item["shape"]))
        values = np.frombuffer(data, stored, count, start).reshape(item["shape"])
        constants[item["name"]] = values.astype(np.float32) if stored == np.float16 else values
        start += count * stored.itemsize
    if start != len(data):
        raise SystemExit(f"nanodet: {len(data)} bytes of weights, the topology describes {start}")
    return constants


def _sides(attribute: dict[str, Any]) -> list[int]:
    """Height and width of an NHWC list."""
    return [int(side) for side in attribute["list"]["i"][1:3]]


def reference(source: bytes) -> Callable[[NDArray[np.uint8]], Mapping[str, F32]]:
    """The source as a function of the RGB picture (height, width, 3), with our names and its person scores."""
    network = equalise.session(source, STRIDES_PX)

    def run(picture: NDArray[np.uint8]) -> Mapping[str, F32]:
        outputs = {}
        for stride, head in zip(
            STRIDES_PX.values(), network.run(list(STRIDES_PX), {"image": planar(picture)}), strict=True
        ):
            rows = head[0].reshape(head.shape[1], -1).T[None]
            outputs[f"scores_{stride}"] = 1 / (1 + np.exp(-rows[..., PERSON : PERSON + 1]))
            outputs[f"distances_{stride}"] = rows[..., CLASSES:]
        return outputs

    return run


def planar(picture: NDArray[np.uint8]) -> F32:
    """An RGB picture (height, width, 3) as the source takes it."""
    bgr = (picture[..., ::-1].astype(np.float32) - np.array(MEAN_BGR, np.float32)) / np.array(STD_BGR, np.float32)
    return np.ascontiguousarray(bgr.transpose(2, 0, 1)[None])


def build(source: bytes, *, width: int, height: int, half_weights: bool) -> bytes:
    """The float graph for RGB minus 128, (1, height, width, 3).

    Outputs for each stride S: `scores_S` (1, n, 1) after the sigmoid, `distances_S` (1, n, 44) as logits.
    """
    graph = onnx.load_from_string(source).graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    writer = GraphWriter(half_weights=half_weights)
    tensors = {"image": writer.input("image", (1, height, width, 3))}
    heads: dict[str, int] = {}
    for node in graph.node:
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        x, result = tensors[node.input[0]], node.output[0]
        if node.op_type == "Conv":
            weights, bias = constants[node.input[1]].transpose(0, 2, 3, 1), constants[node.input[2]]
            if node.input[0] == "image":
                weights, bias = _fold_normalisation(weights, bias)
            if result in STRIDES_PX:
                stride = STRIDES_PX[result]
                count = int(np.prod(writer.shape(x)[1:3]))
                parts = {"scores": slice(PERSON, PERSON + 1), "distances": slice(CLASSES, None)}
                for kind, part in parts.items():
                    writer.scope = f"{kind}_{stride}/"
                    head = _conv(writer, x, weights[part], bias[part], attributes)
                    head = writer.reshape(head, (1, count, writer.shape(head)[3]))
                    if kind == "scores":
                        head = writer.sigmoid(head)
                    writer.rename(head, f"{kind}_{stride}")
                    heads[f"{kind}_{stride}"] = head
                writer.scope = ""
            else:
                tensors[result] = _conv(writer, x, weights, bias, attributes)
        elif node.op_type == "LeakyRelu":
            tensors[result] = writer.leaky_relu(x, attributes["alpha"])
        elif node.op_type == "MaxPool":
            padded = writer.pad(x, top_left=1, bottom_right=0)
            tensors[result] = writer.max_pool(padded, kernel=3, stride=2)
        elif node.op_type == "Concat":
            tensors[result] = writer.concat([tensors[name] for name in node.input], axis=3)
        elif node.op_type == "Add":
            tensors[result] = writer.add(x, tensors[node.input[1]])
        elif node.op_type == "Resize":
            factor = constants[node.input[2]][2]
            _, rows, columns, _ = writer.shape(x)
            tensors[result] = writer.resize_bilinear(x, height=int(rows * factor), width=int(columns * factor))
    return writer.finish(list(heads.values()), description="NanoDet-g, person")


def _conv(writer: GraphWriter, x: int, weights: F32, bias: F32, attributes: dict[str, Any]) -> int:
    stride, padding = attributes["strides"][0], SAME
    if stride == 2:  # SAME would pad right and bottom
        x, padding = writer.pad(x, top_left=1, bottom_right=0), VALID
    return writer.conv(x, weights, bias, stride=stride, padding=padding, activation=NO_ACTIVATION)


def _fold_normalisation(weights: F32, bias: F32) -> tuple[F32, F32]:
    """Turn the first layer's input from normalised BGR into RGB - 128."""
    scaled = weights.astype(np.float64) / STD_BGR
    shift = (scaled * (GREY - np.array(MEAN_BGR))).sum(axis=(1, 2, 3))
    return scaled[..., ::-1].astype(np.float32), (bias + shift).astype(np.float32)
