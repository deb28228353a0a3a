"""Teachers: models of the zoo and ONNX files, looking at a picture at several sizes and mirrored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import onnxruntime

from anonymizer.detect.engine import Engine
from anonymizer.detect.families import FAMILIES, Candidates, make_family
from anonymizer.detect.families.family import shapes_of
from anonymizer.detect.nms import nms
from anonymizer.detect.recognise import BLUE_FIRST
from anonymizer.errors import ModelError
from anonymizer.types import F32, I32, U8, Size, Target
from anonymizer.zoo import ChannelOrder, Zoo

LEAST_SCORE = 0.15
NMS_IOU = 0.45
MOST_BOXES = 10_000
MULTIPLE_PX = 32  # what the sides of an ONNX model's input are padded to
OVERLAP = 0.25  # of neighbouring windows of a model that takes one size only


@dataclass(frozen=True, slots=True)
class View:
    """How a picture is shown to a teacher."""

    zoom: float = 1.0
    mirrored: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one teacher found in one view, in pixels of the picture; all arrays share N."""

    boxes: F32  # (N, 4)
    scores: F32  # (N,)
    class_ids: I32  # (N,) values of Target


class Teacher(Protocol):
    """Finds targets in a picture of any size."""

    @property
    def targets(self) -> frozenset[Target]:
        """What it tells apart."""
        ...

    def find(self, rgb: U8) -> Candidates:
        """All candidates at or above LEAST_SCORE; raises ModelError, InvalidOutputError."""
        ...


class OnnxTeacher:
    """An ONNX file that takes (1, 3, H, W) of any H and W; its outputs tell the family."""

    def __init__(self, path: Path, classes: Sequence[Target | None] = (Target.FACE,)) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options)
        except Exception as error:
            raise ModelError(f"{path}: not a usable ONNX file: {error}") from error
        self.targets = frozenset(each for each in classes if each is not None)
        self._path = path
        self._classes = classes
        self._family = ""  # found with the first picture

    def find(self, rgb: U8, least: float = LEAST_SCORE) -> Candidates:
        """The whole picture at once; `least` replaces the score from which candidates are told."""
        height, width = (-(-side // MULTIPLE_PX) * MULTIPLE_PX for side in rgb.shape[:2])
        padded = np.zeros((height, width, 3), np.uint8)
        padded[: rgb.shape[0], : rgb.shape[1]] = rgb
        size = Size(width, height)
        if not self._family:
            self._family = self._recognise(padded, size)
        outputs = self._run(np.ascontiguousarray(padded[..., ::-1]) if self._family in BLUE_FIRST else padded)
        return make_family(self._family, size, self._classes).decode(outputs, least)

    def _recognise(self, padded: U8, size: Size) -> str:
        outputs = self._run(padded)
        for name, maker in FAMILIES.items():
            if maker.columns(size, shapes_of(outputs)):
                return name
        raise ModelError(f"{self._path}: no known family has the outputs {', '.join(outputs)}")

    def _run(self, picture: U8) -> Mapping[str, F32]:
        names = [each.name for each in self._session.get_outputs()]
        values = picture.transpose(2, 0, 1)[None].astype(np.float32)
        return dict(zip(names, self._session.run(names, {self._session.get_inputs()[0].name: values}), strict=True))


class ZooTeacher:
    """A model of the zoo; pictures larger than its input are looked at in overlapping windows."""

    def __init__(self, name: str, zoo: Zoo | None = None) -> None:
        spec = (zoo or Zoo()).detectors.verify(name)
        source = spec.input
        self.targets = frozenset(each for each in spec.classes if each is not None)
        self._size = Size(source.width, source.height)
        self._engine = Engine(
            spec.path,
            threads=1,
            mean=source.mean,
            scale=source.scale,
            bgr=source.order is ChannelOrder.BGR,
            size=spec.made_for,
        )
        self._family = make_family(spec.family, self._size, spec.classes)
        self._engine.start()

    def find(self, rgb: U8) -> Candidates:
        """Every window of the input's size, without scaling; what a window's inner edge cuts is left to the next."""
        height, width = rgb.shape[:2]
        parts = []
        for top, left in _windows(height, width, self._size):
            part = rgb[top : top + self._size.height, left : left + self._size.width]
            padded = np.zeros((self._size.height, self._size.width, 3), np.uint8)
            padded[: part.shape[0], : part.shape[1]] = part
            found = self._family.decode(self._engine.run(padded), LEAST_SCORE)
            boxes = found.boxes + np.array([left, top, left, top], np.float32)
            window = np.array([left, top, left + part.shape[1], top + part.shape[0]], np.float32)
            inner = np.array([left > 0, top > 0, window[2] < width, window[3] < height])
            kept = ~((np.abs(boxes - window) < 2) & inner).any(axis=1)
            parts.append(Candidates(boxes[kept], found.scores[kept], found.class_ids[kept]))
        return Candidates(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.class_ids for part in parts]),
        )


def open_teacher(name: str) -> Teacher:
    """An ONNX file, or a model of the zoo; raises ModelError."""
    return OnnxTeacher(Path(name)) if name.endswith(".onnx") else ZooTeacher(name)


def look(teacher: Teacher, rgb: U8, view: View) -> Seen:
    """What the teacher finds in one view, after non-maximum suppression."""
    shown = rgb
    if view.zoom != 1:
        how = cv2.INTER_CUBIC if view.zoom > 1 else cv2.INTER_AREA
        shown = np.asarray(cv2.resize(rgb, None, fx=view.zoom, fy=view.zoom, interpolation=how), np.uint8)
    if view.mirrored:
        shown = np.ascontiguousarray(shown[:, ::-1])
    found = teacher.find(shown)
    kept = nms(found.boxes, found.scores, found.class_ids, iou=NMS_IOU, max_detections=MOST_BOXES)
    boxes = found.boxes[kept]
    if view.mirrored:
        boxes = np.stack([shown.shape[1] - boxes[:, 2], boxes[:, 1], shown.shape[1] - boxes[:, 0], boxes[:, 3]], 1)
    return Seen((boxes / np.float32(view.zoom)).astype(np.float32), found.scores[kept], found.class_ids[kept])


def look_both_ways(teacher: Teacher, rgb: U8, zoom: float) -> Seen:
    """What it finds in a view and in that view's mirror, as what one view shows: the two err together."""
    pair = [look(teacher, rgb, View(zoom, mirrored)) for mirrored in (False, True)]
    return Seen(
        np.concatenate([each.boxes for each in pair]),
        np.concatenate([each.scores for each in pair]),
        np.concatenate([each.class_ids for each in pair]),
    )


def _windows(height: int, width: int, size: Size) -> Iterator[tuple[int, int]]:
    for top in _starts(height, size.height):
        for left in _starts(width, size.width):
            yield top, left


def _starts(length: int, window: int) -> list[int]:
    if length <= window:
        return [0]
    count = 1 + -(-(length - window) // int(window * (1 - OVERLAP)))
    return np.linspace(0, length - window, count).round().astype(int).tolist()
