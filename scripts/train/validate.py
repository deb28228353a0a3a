"""Average precision of a network on a labelled set, by the same rules as `anonymizer evaluate detect`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from anonymizer.detect.engine import Engine
from anonymizer.detect.families import make_family
from anonymizer.detect.nms import nms
from anonymizer.evaluate.precision import make_curve
from anonymizer.evaluate.scores import ALL, BINS, verdicts
from anonymizer.evaluate.trial import Trial
from anonymizer.types import F32, I32, U8, Size, Target
from scripts.train.network import boxes, cells, flat
from scripts.train.picture import Sample

LONG_SIDE_PX = 640
LEAST_SCORE = 0.02
NMS_IOU = 0.45
MOST_BOXES = 1000


@dataclass(frozen=True, slots=True)
class Precision:
    """AP50, 0-1, of all labels of 10 px and more, and by height in pixels of the picture; None without labels."""

    overall: float | None
    by_height: tuple[float | None, ...]  # of BINS

    def __str__(self) -> str:
        parts = " / ".join("-" if each is None else f"{100 * each:.1f}" for each in self.by_height)
        return "-" if self.overall is None else f"{100 * self.overall:.1f} ({parts})"


def validate(network: nn.Module, samples: Sequence[Sample], class_id: int, side_px: int = LONG_SIDE_PX) -> Precision:
    """Precision for one class with the pictures' long side at `side_px`."""

    def find(image: U8) -> tuple[F32, F32]:
        found, scores, ids = detect(network, image, side_px)
        return found[ids == class_id], scores[ids == class_id]

    was_training = network.training
    network.eval()
    precision = _precision(samples, class_id, find)
    network.train(was_training)
    return precision


def validate_file(path: Path, size: Size, samples: Sequence[Sample], class_id: int, classes: int) -> Precision:
    """Precision of an exported file for one of its classes, in the product's engine, pictures fitted into its input."""
    only = [Target.FACE if each == class_id else None for each in range(classes)]  # whatever it is
    family = make_family("anchorfree", size, only)
    with Engine(path, threads=1, mean=0.0, scale=1.0) as engine:

        def find(image: U8) -> tuple[F32, F32]:
            scale = min(size.width / image.shape[1], size.height / image.shape[0])
            found = family.decode(engine.run(_fitted(image, scale, size)), LEAST_SCORE)
            kept = _kept(found.boxes, found.scores, found.class_ids)
            return found.boxes[kept] / np.float32(scale), found.scores[kept]

        return _precision(samples, class_id, find)


def _precision(samples: Sequence[Sample], class_id: int, find: Callable[[U8], tuple[F32, F32]]) -> Precision:
    trials = [_trial(sample, class_id, find) for sample in samples]
    parts = [make_curve([verdicts(trial, heights) for trial in trials]).average_precision for heights in (ALL, *BINS)]
    return Precision(parts[0], tuple(parts[1:]))


def detect(network: nn.Module, image: U8, side_px: int) -> tuple[F32, F32, I32]:
    """Boxes in pixels of the image, scores and class ids by falling score; the network is in evaluation mode."""
    height, width = image.shape[:2]
    scale = side_px / max(height, width)
    padded = _fitted(image, scale, Size(*(-(-round(side * scale) // 32) * 32 for side in (width, height))))
    device = next(network.parameters()).device
    with torch.inference_mode():
        levels = network(torch.from_numpy(padded).to(device)[None].permute(0, 3, 1, 2).float())
        logits, encodings = flat(levels)
        scores = logits[0].sigmoid()
        row, column = torch.nonzero(scores >= LEAST_SCORE, as_tuple=True)
        found = boxes(encodings[0], cells(levels))[row]
        chosen = scores[row, column]
    found_boxes = (found.cpu().numpy() / np.float32(scale)).astype(np.float32)
    found_scores = chosen.cpu().numpy().astype(np.float32)
    ids = column.cpu().numpy().astype(np.int32)
    kept = _kept(found_boxes, found_scores, ids)
    return found_boxes[kept], found_scores[kept], ids[kept]


def _kept(found: F32, scores: F32, ids: I32) -> NDArray[np.intp]:
    """Rows that non-maximum suppression leaves, by falling score."""
    best = np.argsort(-scores, kind="stable")[: 4 * MOST_BOXES]
    return best[nms(found[best], scores[best], ids[best], iou=NMS_IOU, max_detections=4 * MOST_BOXES)[:MOST_BOXES]]


def _fitted(image: U8, scale: float, size: Size) -> U8:
    """The image scaled, top left on black (height, width, 3)."""
    height, width = image.shape[:2]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=how)
    padded = np.zeros((size.height, size.width, 3), np.uint8)
    padded[: small.shape[0], : small.shape[1]] = small
    return padded


def _trial(sample: Sample, class_id: int, find: Callable[[U8], tuple[F32, F32]]) -> Trial:
    """`find` gives boxes in pixels of the picture and scores, of this class, by falling score."""
    found, scores = find(sample.load().image)
    wanted = sample.class_ids == class_id
    nothing = np.zeros(int(wanted.sum()), np.bool_)
    return Trial(
        boxes=sample.boxes[wanted],
        ignored=sample.ignore[wanted],
        crowd=nothing,
        found=found,
        scores=scores,
        counted=found,
        bare=nothing,
        bare_head=nothing,
        over_mask=0.0,
        cpu_ns=0,
    )
