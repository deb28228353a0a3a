"""Dense distillation: each cell learns what a teacher's cell says of the same place on the same canvas."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from anonymizer.detect.families import Candidates
from anonymizer.errors import ModelError
from anonymizer.types import U8
from scripts.train.checkpoint import find_checkpoint, load_network
from scripts.train.losses import focal, iou_and_giou
from scripts.train.network import Level, boxes, cells, flat
from scripts.train.networks import Network
from scripts.train.teacher import OnnxTeacher

SURE = 0.4  # score of the teacher from which its boxes are learned
FACE = "face"  # what an ONNX file finds
PYRAMIDS = ((8, 16, 32), (4, 8, 16, 32), (8, 16, 32, 64), (4,), (8,))  # strides that an ONNX file may have


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """What a teacher says of the cells of one stride; B pictures."""

    stride_px: int
    scores: Tensor  # (B, classes, h, w) 0-1
    boxes: Tensor  # (B, 4, h, w) x1 y1 x2 y2 in pixels


class DenseTeacher(Protocol):
    """Says something of every cell."""

    @property
    def classes(self) -> tuple[str, ...]:
        """What it tells apart, in the order of its scores."""
        ...

    def look(self, pictures: Tensor) -> Iterator[Grid]:
        """One grid for each stride, of pictures (B, 3, H, W) RGB 0-255, H and W multiples of 32; raises ModelError."""
        ...


class NetworkTeacher:
    """A network of these tools, its scores and boxes as they are."""

    def __init__(self, network: Network, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self._network = network

    def look(self, pictures: Tensor) -> Iterator[Grid]:
        """As of DenseTeacher."""
        levels: Sequence[Level] = self._network.to(pictures.device)(pictures)
        of_cells = cells(levels).split([level.logits[0, 0].numel() for level in levels])
        for level, own in zip(levels, of_cells, strict=True):
            found = boxes(level.encodings.float().flatten(2).transpose(1, 2), own.float())
            grid = found.transpose(1, 2).unflatten(2, level.logits.shape[2:])
            yield Grid(level.stride_px, level.logits.float().sigmoid(), grid)


class Finder(Protocol):
    """Tells candidates of a picture."""

    def find(self, rgb: U8, least: float) -> Candidates:
        """Those of at least that score, of a picture (H, W, 3); raises ModelError."""
        ...


class OnnxDenseTeacher:
    """An ONNX file of faces with one candidate for each cell of its strides, such as YuNet."""

    def __init__(self, name: str, teacher: Finder) -> None:
        self.classes = (FACE,)
        self._name = name
        self._teacher = teacher

    def look(self, pictures: Tensor) -> Iterator[Grid]:
        """As of DenseTeacher."""
        height, width = pictures.shape[2:]
        images = pictures.permute(0, 2, 3, 1).round().byte().cpu().numpy()
        found = [self._teacher.find(np.ascontiguousarray(image), least=0.0) for image in images]
        counts = {strides: [(height // stride) * (width // stride) for stride in strides] for strides in PYRAMIDS}
        strides = next((each for each in PYRAMIDS if all(len(one.scores) == sum(counts[each]) for one in found)), None)
        if strides is None:
            raise ModelError(f"{self._name}: does not say one thing of each cell: teach with it before, by `teach`")
        scores = torch.from_numpy(np.stack([each.scores for each in found])).split(counts[strides], 1)
        rows = torch.from_numpy(np.stack([each.boxes for each in found])).split(counts[strides], 1)
        for stride, own, boxed in zip(strides, scores, rows, strict=True):
            shape = (height // stride, width // stride)
            grid = boxed.transpose(1, 2).unflatten(2, shape)
            yield Grid(stride, own[:, None].unflatten(2, shape).to(pictures.device), grid.to(pictures.device))


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What the teacher says of the student's cells, in the order of `flat`."""

    scores: Tensor  # (B, N, classes)
    boxes: Tensor  # (B, N, 4) in pixels
    is_taught: Tensor  # (N, classes)


class Tutor:
    """Shows a teacher the student's canvases, as they are and enlarged, and joins what it says by the better score."""

    def __init__(self, teacher: DenseTeacher, classes: Sequence[str], zooms: Sequence[int]) -> None:
        self._teacher = teacher
        self._columns = [teacher.classes.index(name) if name in teacher.classes else -1 for name in classes]
        self._zooms = zooms

    @torch.no_grad()
    def teach(self, pictures: Tensor, levels: Sequence[Level]) -> Lesson:
        """`levels` are the student's, of these pictures (B, 3, H, W) uint8."""
        finest, count = levels[0].stride_px, len(self._columns)
        known = torch.tensor([column >= 0 for column in self._columns], device=pictures.device)
        scores: dict[float, Tensor] = {level.stride_px: torch.full_like(level.logits.float(), -1.0) for level in levels}
        boxed: dict[float, Tensor] = {level.stride_px: torch.zeros_like(level.encodings.float()) for level in levels}
        for zoom in self._zooms:
            for grid in self._teacher.look(_enlarged(pictures, zoom)):
                own = grid.scores[:, self._columns] * known[:, None, None]
                stride, own, found = _pooled(grid.stride_px / zoom, own, grid.boxes / zoom, finest)
                if stride in scores:
                    better = own.amax(1, keepdim=True) > scores[stride].amax(1, keepdim=True)
                    boxed[stride] = torch.where(better, found, boxed[stride])
                    scores[stride] = torch.maximum(scores[stride], own)
        joined = torch.cat([scores[level.stride_px].flatten(2) for level in levels], 2).transpose(1, 2)
        rows = torch.cat([boxed[level.stride_px].flatten(2) for level in levels], 2).transpose(1, 2)
        is_taught = (joined[0, :, :1] >= 0).expand(-1, count) & known
        return Lesson(joined.clamp(min=0.0), rows, is_taught)


def _enlarged(pictures: Tensor, zoom: int) -> Tensor:
    shown = pictures.float()
    if zoom == 1:
        return shown
    return functional.interpolate(shown, scale_factor=zoom, mode="bicubic").clamp(0, 255).round()


def _pooled(stride: float, scores: Tensor, boxed: Tensor, finest: int) -> tuple[float, Tensor, Tensor]:
    """Cells finer than the student's finest ones: of those in one, the best score and its box."""
    factor = round(finest / stride)
    if factor <= 1:
        return stride, scores, boxed
    best, at = functional.max_pool2d(scores.amax(1, keepdim=True), factor, return_indices=True)
    chosen = boxed.flatten(2).gather(2, at.flatten(2).expand(-1, 4, -1)).unflatten(2, best.shape[2:])
    return stride * factor, functional.max_pool2d(scores, factor), chosen


def distillation(levels: Sequence[Level], lesson: Lesson, gamma: float) -> tuple[Tensor, Tensor]:
    """Score loss and box loss of a batch, each divided by the scores from which boxes are learned."""
    logits, encodings = (each.float() for each in flat(levels))
    of_cells = cells(levels).float()
    best = (lesson.scores * lesson.is_taught).amax(-1)
    picture, cell = torch.nonzero(best >= SURE, as_tuple=True)
    weight = best[picture, cell]
    total = weight.sum().clamp(min=1.0)
    score_loss = (focal(logits, lesson.scores, gamma=gamma) * lesson.is_taught).sum() / total
    found = boxes(encodings[picture, cell], of_cells[cell])
    giou = iou_and_giou(found, lesson.boxes[picture, cell])[1]
    return score_loss, (weight * (1 - giou)).sum() / total


def open_dense(name: str) -> tuple[DenseTeacher, str]:
    """An ONNX file, or a run or checkpoint of these tools; and its name with a checksum. Raises an AnonymizerError."""
    path = Path(name) if name.endswith(".onnx") else find_checkpoint(Path(name))
    if name.endswith(".onnx"):
        teacher: DenseTeacher = OnnxDenseTeacher(name, OnnxTeacher(path))
    else:
        network, recipe = load_network(path)
        teacher = NetworkTeacher(network, recipe.classes)
    return teacher, f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
