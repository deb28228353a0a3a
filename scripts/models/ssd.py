"""SSD MobileNetV2: the TFLite file inside the objectron package, cut down to its Person class."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as tfl
from ai_edge_litert.interpreter import Interpreter
from graph import GraphWriter, read
from numpy.typing import NDArray

OUTPUTS = ("raw_outputs/box_encodings", "raw_outputs/class_predictions")  # of the source
PERSON, CLASSES = 4, 24  # index and number of the Open Images classes of the source
LIMITS = {"image": (-128.0, 127.0), "boxes": (-10.0, 6.0), "box_head/": (-10.0, 6.0), "score_head/": (-8.0, 2.0)}
"""int8 ranges by prefix of the tensor's name. Anchors that see nothing give encodings down to -80, which no box needs;
scores end at 0.58 on every picture tried, so logits up to 2 leave room."""

F32 = NDArray[np.float32]

_DTYPES = {tfl.TensorType.FLOAT16: np.float16, tfl.TensorType.FLOAT32: np.float32, tfl.TensorType.INT32: np.int32}
_HEAD = re.compile(r"BoxPredictor_(\d+)/(Box|Class)")


def build(source: bytes, *, width: int, height: int, half_weights: bool) -> bytes:
    """The float graph for RGB minus 128, (1, height, width, 3).

    Outputs: `boxes` (1, N, 4), box-coder encodings y, x, h, w, and `scores` (1, N, 1), after the sigmoid.
    """
    model = read(source)
    graph = model.subgraphs[0]
    names = [tensor.name.decode() for tensor in graph.tensors]
    constants: dict[int, F32] = {}
    for index, tensor in enumerate(graph.tensors):
        data = model.buffers[tensor.buffer].data
        if data is not None:
            constants[index] = np.frombuffer(bytes(data), _DTYPES[tensor.type]).reshape(tensor.shape)
    writer = GraphWriter(half_weights=half_weights)
    image = graph.inputs[0]
    tensors = {image: writer.input("image", (1, height, width, 3))}
    heads: dict[str, list[int]] = {"Box": [], "Class": []}
    for op in graph.operators:
        code = model.operatorCodes[op.opcodeIndex].builtinCode
        x, result = op.inputs[0], op.outputs[0]
        if code == tfl.BuiltinOperator.DEQUANTIZE:
            constants[result] = constants[x].astype(np.float32)
        elif code in (tfl.BuiltinOperator.CONV_2D, tfl.BuiltinOperator.DEPTHWISE_CONV_2D):
            weights, bias = (constants[index] for index in op.inputs[1:])
            if x == image:
                weights, bias = _fold_normalisation(weights, bias)
            head = _HEAD.match(names[result])
            kind = head[2] if head else ""
            writer.scope = {"": "", "Box": "box_head/", "Class": "score_head/"}[kind]
            if kind == "Class":
                weights, bias = weights[PERSON::CLASSES], bias[PERSON::CLASSES]
            add = writer.conv if code == tfl.BuiltinOperator.CONV_2D else writer.depthwise
            tensors[result] = add(
                tensors[x],
                weights,
                bias,
                stride=op.builtinOptions.strideH,
                padding=op.builtinOptions.padding,
                activation=op.builtinOptions.fusedActivationFunction,
            )
            if head:
                assert int(head[1]) == len(heads[kind]), "the heads must come in the order of their grids"  # noqa: S101
                values = 4 if kind == "Box" else 1
                count = int(np.prod(writer.shape(tensors[result]))) // values
                heads[kind].append(writer.reshape(tensors[result], (1, count, values)))
        elif code == tfl.BuiltinOperator.ADD:
            writer.scope = ""
            tensors[result] = writer.add(tensors[x], tensors[op.inputs[1]])
        elif code not in (tfl.BuiltinOperator.RESHAPE, tfl.BuiltinOperator.CONCATENATION):
            raise SystemExit(f"the source has op {code}, for which there is no translation")
    writer.scope = "box_head/"
    boxes = writer.concat(heads["Box"], axis=1)
    writer.scope = "score_head/"
    logits = writer.concat(heads["Class"], axis=1)
    writer.scope = ""
    scores = writer.sigmoid(logits)
    writer.rename(scores, "scores")
    writer.rename(boxes, "boxes")
    return writer.finish([boxes, scores], description="SSD MobileNetV2, Person")


def extract(packed: bytes) -> bytes:
    """The TFLite file out of the package's asset file, where a label map precedes it."""
    return packed[packed.index(b"TFL3") - 4 :]


def reference(source: bytes) -> Callable[[NDArray[np.uint8]], Mapping[str, F32]]:
    """The source file itself as a function of the picture (height, width, 3), with our names and its Person scores."""
    interpreter = Interpreter(model_content=source, num_threads=2)
    interpreter.allocate_tensors()
    image = interpreter.get_input_details()[0]["index"]
    outputs = {item["name"]: item["index"] for item in interpreter.get_output_details()}

    def run(picture: NDArray[np.uint8]) -> Mapping[str, F32]:
        interpreter.set_tensor(image, (picture[None].astype(np.float32) - np.float32(127.5)) / np.float32(127.5))
        interpreter.invoke()
        boxes, logits = (interpreter.get_tensor(outputs[name]) for name in OUTPUTS)
        return {"boxes": boxes, "scores": 1 / (1 + np.exp(-logits[:, :, PERSON : PERSON + 1]))}

    return run


def _fold_normalisation(weights: F32, bias: F32) -> tuple[F32, F32]:
    """Turn the first layer's input from (RGB - 127.5) / 127.5 into RGB - 128, so that int8 needs no scale."""
    scaled = weights.astype(np.float64) / 127.5
    return scaled.astype(np.float32), (bias + 0.5 * scaled.sum(axis=(1, 2, 3))).astype(np.float32)
