"""Average precision of a network on a labelled set, by the same rules as `anonymizer evaluate detect`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import nn

from anonymizer.detect.nms import nms
from anonymizer.evaluate.precision import make_curve
from anonymizer.evaluate.scores import ALL, BINS, verdicts
from anonymizer.evaluate.trial import Trial
from anonymizer.types import F32, I32, U8
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
    was_training = network.training
    network.eval()
    trials = [_trial(network, sample, class_id, side_px) for sample in samples]
    network.train(was_training)
    parts = [make_curve([verdicts(trial, heights) for trial in trials]).average_precision for heights in (ALL, *BINS)]
    return Precision(parts[0], tuple(parts[1:]))


def detect(network: nn.Module, image: U8, side_px: int) -> tuple[F32, F32, I32]:
    """Boxes in pixels of the image, scores and class ids by falling score; the network is in evaluation mode."""
    height, width = image.shape[:2]
    scale = side_px / max(height, width)
    size = (round(width * scale), round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    padded = np.zeros((-(-size[1] // 32) * 32, -(-size[0] // 32) * 32, 3), np.uint8)
    padded[: size[1], : size[0]] = small
    device = next(network.parameters()).device
    with torch.inference_mode():
        levels = network(torch.from_numpy(padded).to(device)[None].permute(0, 3, 1, 2).float())
        logits, encodings = flat(levels)
        scores = logits[0].sigmoid()
        row, column = torch.nonzero(scores >= LEAST_SCORE, as_tuple=True)
        found = boxes(encodings[0], cells(levels))[row]
        chosen = scores[row, column]
    best = chosen.argsort(descending=True, stable=True)[: 4 * MOST_BOXES]
    found_boxes = (found[best].cpu().numpy() / np.float32(scale)).astype(np.float32)
    found_scores = chosen[best].cpu().numpy().astype(np.float32)
    ids = column[best].cpu().numpy().astype(np.int32)
    kept = nms(found_boxes, found_scores, ids, iou=NMS_IOU, max_detections=4 * MOST_BOXES)[:MOST_BOXES]
    return found_boxes[kept], found_scores[kept], ids[kept]


def _trial(network: nn.Module, sample: Sample, class_id: int, side_px: int) -> Trial:
    found, scores, ids = detect(network, sample.load().image, side_px)
    own, wanted = ids == class_id, sample.class_ids == class_id
    nothing = np.zeros(int(wanted.sum()), np.bool_)
    return Trial(
        boxes=sample.boxes[wanted],
        ignored=sample.ignore[wanted],
        crowd=nothing,
        found=found[own],
        scores=scores[own],
        bare=nothing,
        bare_head=nothing,
        over_mask=0.0,
        cpu_ns=0,
    )
