"""CPU-ms of decoding and suppressing 5,000 candidates, for each model family; one core.

    .venv/bin/python scripts/bench/decode.py [--candidates 5000] [--objects 100] [--rounds 31]

The outputs are those of a model that sees about so many objects, each in as many cells or anchors as it takes to reach
the number of candidates: the cells nearest to an object score, all others do not. The fastest round counts: other work
on the machine slows the rest down.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from anonymizer.detect.families import make_family
from anonymizer.detect.nms import nms
from anonymizer.types import F32, Size

THRESHOLD, IOU, ENOUGH = 0.3, 0.4, 5000
STRIDES = (8, 16, 32, 64, 128)  # of RetinaNet
PICTURE = Size(640, 384)
Outputs = Mapping[str, F32]


@dataclass(frozen=True)
class Crowd:
    """Where objects are: centres (K, 2) and sides (K, 2) as shares of the picture."""

    centres: F32
    sides: F32

    @classmethod
    def scattered(cls, count: int) -> Crowd:
        """Objects anywhere, a twentieth of the picture wide."""
        rng = np.random.default_rng(1)
        sides = rng.uniform(0.03, 0.06, (count, 2))
        return cls(rng.uniform(0.02, 0.98, (count, 2)).astype(np.float32), sides.astype(np.float32))

    def cells(self, size: Size, cells: F32, wanted: int) -> tuple[F32, F32, F32]:
        """Of cells (N, 2) in pixels: score (N,), centre and sides (N, 2) of the object nearest to each, in pixels."""
        scale = np.array([size.width, size.height], np.float32)
        distance = np.linalg.norm(cells[:, None] - (self.centres * scale)[None], axis=2)
        nearest = distance.argmin(axis=1)
        closeness = distance.min(axis=1)
        score = np.zeros(len(cells), np.float32)
        chosen = np.argsort(closeness, kind="stable")[:wanted]
        score[chosen] = np.linspace(0.95, THRESHOLD + 0.01, len(chosen))
        jitter = np.random.default_rng(2).normal(1, 0.05, (len(cells), 2))
        return score, (self.centres * scale)[nearest], ((self.sides * scale)[nearest] * jitter).astype(np.float32)


def grid(size: Size, strides: tuple[int, ...], repeats: int = 1) -> F32:
    """x, y, stride (N, 3) of the cells' centres, stride by stride, row by row."""
    parts = []
    for stride in strides:
        y, x = np.meshgrid(np.arange(-(-size.height // stride)), np.arange(-(-size.width // stride)), indexing="ij")
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride
        parts.append(np.concatenate([centres, np.full((len(centres), 1), stride)], axis=1).repeat(repeats, axis=0))
    return np.concatenate(parts).astype(np.float32)


def centerface(crowd: Crowd, wanted: int) -> tuple[Size, Outputs]:
    """One cell in four pixels."""
    cells = grid(PICTURE, (4,))
    score, centre, sides = crowd.cells(PICTURE, cells[:, :2], wanted)
    shape = (1, PICTURE.height // 4, PICTURE.width // 4)
    return PICTURE, {
        "heat": score.reshape(*shape, 1),
        "scale": np.log(sides[:, ::-1] / 4).reshape(*shape, 2),
        "offset": ((centre - cells[:, :2]) / 4)[:, ::-1].reshape(*shape, 2),
    }


def blazeface(crowd: Crowd, wanted: int) -> tuple[Size, Outputs]:
    """A larger one than exists, as the largest has 2,304 anchors."""
    size = Size(288, 288)
    cells = grid(size, (4,))
    score, centre, sides = crowd.cells(size, cells[:, :2], wanted)
    encoded = np.concatenate([centre - cells[:, :2], sides, np.zeros((len(cells), 12), np.float32)], axis=1)
    logits = np.log(np.maximum(score, 1e-6) / (1 - score))
    return size, {"regressors": encoded[None], "classificators": logits[None, :, None]}


def yunet(crowd: Crowd, wanted: int) -> tuple[Size, Outputs]:
    """All 5,040 cells of strides 8, 16, 32."""
    outputs: dict[str, F32] = {}
    every = grid(PICTURE, (8, 16, 32))
    score, centre, sides = crowd.cells(PICTURE, every[:, :2], wanted)
    for stride in (8, 16, 32):
        mine = every[:, 2] == stride
        corner = every[mine, :2] - stride / 2
        box = np.concatenate([(centre[mine] - corner) / stride, np.log(sides[mine] / stride)], axis=1)
        outputs[f"cls_{stride}"] = (score[mine] ** 2)[None, :, None]
        outputs[f"obj_{stride}"] = np.ones((1, int(mine.sum()), 1), np.float32)
        outputs[f"bbox_{stride}"] = box[None].astype(np.float32)
        outputs[f"kps_{stride}"] = np.zeros((1, int(mine.sum()), 10), np.float32)
    return PICTURE, outputs


def anchorfree(crowd: Crowd, wanted: int) -> tuple[Size, Outputs]:
    """The cells of strides 8, 16, 32 as maps."""
    outputs: dict[str, F32] = {}
    every = grid(PICTURE, (8, 16, 32))
    score, centre, sides = crowd.cells(PICTURE, every[:, :2], wanted)
    for stride in (8, 16, 32):
        mine = every[:, 2] == stride
        shape = (1, PICTURE.height // stride, PICTURE.width // stride)
        box = np.concatenate([(centre[mine] - every[mine, :2]) / stride, np.log(sides[mine] / stride)], axis=1)
        outputs[f"score_{stride}"] = score[mine].reshape(*shape, 1)
        outputs[f"box_{stride}"] = box.astype(np.float32).reshape(*shape, 4)
    return PICTURE, outputs


def nanodet(crowd: Crowd, wanted: int) -> tuple[Size, Outputs]:
    """Each distance as a distribution over 8 bins, whose weight lies in two neighbours."""
    every = grid(PICTURE, (8, 16, 32))
    score, centre, sides = crowd.cells(PICTURE, every[:, :2], wanted)
    low, high = every[:, :2] - centre + sides / 2, centre + sides / 2 - every[:, :2]
    means = np.clip(np.concatenate([low, high], axis=1) / every[:, 2:], 0.01, 6.99)
    weights = np.maximum(1 - np.abs(np.arange(8) - means[..., None]), 1e-9)
    logits = np.log(weights).reshape(-1, 32).astype(np.float32)
    outputs: dict[str, F32] = {}
    for stride in (8, 16, 32):
        mine = every[:, 2] == stride
        outputs[f"dis_{stride}"] = logits[mine][None]
        outputs[f"cls_{stride}"] = score[mine][None, :, None]
    return PICTURE, outputs


def postprocess(crowd: Crowd, wanted: int) -> tuple[Size, Outputs]:
    """A list of boxes that a model has decoded itself."""
    cells = grid(PICTURE, (4,))
    score, centre, sides = crowd.cells(PICTURE, cells[:, :2], wanted)
    rows = np.argsort(-score, kind="stable")[:wanted]
    scale = np.array([PICTURE.width, PICTURE.height], np.float32)
    low, high = (centre - sides / 2) / scale, (centre + sides / 2) / scale
    boxes = np.concatenate([low[:, ::-1], high[:, ::-1]], axis=1)[rows]
    names = [f"TFLite_Detection_PostProcess{suffix}" for suffix in ("", ":1", ":2", ":3")]
    full = np.concatenate([boxes, np.zeros((1, 4), np.float32)])[None]
    flat = np.zeros((1, wanted + 1), np.float32)
    scores = np.concatenate([score[rows], [0.0]]).astype(np.float32)[None]
    return PICTURE, dict(zip(names, (full, flat, scores, np.array([wanted], np.float32)), strict=True))


def anchored(family: str, size: Size, crowd: Crowd, wanted: int) -> tuple[Size, Outputs]:
    """Offsets from anchors, which the family's decoder tells; as many classes as it takes."""
    anchors = _anchors(family, size)
    classes = -(-wanted // len(anchors))
    sides = anchors[:, 2:] - anchors[:, :2]
    middle = anchors[:, :2] + sides / np.float32(2)
    score, centre, wished = crowd.cells(size, middle, wanted)
    move, stretch = (centre - middle) / sides, np.log(wished / sides)
    if family == "ssd":
        move, stretch = 10 * move[:, ::-1], 5 * stretch[:, ::-1]
    boxes = np.concatenate([move, stretch], axis=1).astype(np.float32)
    return size, {"boxes": boxes[None], "scores": np.repeat(score[None, :, None], classes, axis=2)}


def _anchors(family: str, size: Size) -> F32:
    """What boxes (N, 4) come of offsets that are all 0."""
    count = {"ssd": 1917, "retinanet": sum(9 * -(-size.height // s) * -(-size.width // s) for s in STRIDES)}[family]
    outputs = {"boxes": np.zeros((1, count, 4), np.float32), "scores": np.ones((1, count, 1), np.float32)}
    return make_family(family, size, [0]).decode(outputs, 0.5).boxes


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=5000)
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=31)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    crowd = Crowd.scattered(options.objects)
    made = {
        "centerface": centerface(crowd, options.candidates),
        "blazeface": blazeface(crowd, options.candidates),
        "yunet": yunet(crowd, options.candidates),
        "anchorfree": anchorfree(crowd, options.candidates),
        "nanodet": nanodet(crowd, options.candidates),
        "tflite_detection_postprocess": postprocess(crowd, options.candidates),
        "ssd": anchored("ssd", Size(300, 300), crowd, options.candidates),
        "retinanet": anchored("retinanet", Size(320, 320), crowd, options.candidates),
    }
    print(f"{'family':30s}{'candidates':>12s}{'stay':>8s}{'decode':>10s}{'NMS':>8s}{'together':>10s}  CPU-ms")
    for name, (size, outputs) in made.items():
        classes = outputs["scores"].shape[2] if "scores" in outputs else 1
        family = make_family(name, size, range(classes))
        decode_ms, nms_ms = [], []
        for _ in range(options.rounds):
            began_ns = time.thread_time_ns()
            found = family.decode(outputs, THRESHOLD)
            decoded_ns = time.thread_time_ns()
            stay = nms(found.boxes, found.scores, found.class_ids, iou=IOU, max_detections=ENOUGH)
            nms_ms.append((time.thread_time_ns() - decoded_ns) / 1e6)
            decode_ms.append((decoded_ns - began_ns) / 1e6)
        decode, suppress = min(decode_ms), min(nms_ms)
        print(f"{name:30s}{len(found.scores):12,}{len(stay):8,}{decode:10.2f}{suppress:8.2f}{decode + suppress:10.2f}")


if __name__ == "__main__":
    main()
