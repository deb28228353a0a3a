"""Faces as the head meets them: cut out with a margin, changed as cameras change them, and embedded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anonymizer.attack.people import PAD, Face, cut_face
from anonymizer.identify.chip import cut_chip
from anonymizer.stills import BT601, frame_of
from anonymizer.types import F32, U8
from scripts.train.augment import Augmentation, Augmenter
from scripts.train.datasets.training_set import TrainingSet
from scripts.train.picture import Picture

CHIP_PX = 150  # side of what the embedder takes
LEAST_STRANGER_PX = 64  # height of a stranger's face that is clear
HEIGHTS_PX = (40.0, 120.0)  # of a face before a camera: log-uniform
JITTER = 0.04  # of a face's height, one sigma: how a detector's box lies
CAMERA = Augmentation(
    canvas_px=None,
    object_height_px=None,
    zoom=(1.0, 1.0),
    shift=0.0,
    face_class_id=None,
    tone_share=0.8,
    blur_share=0.4,
    noise_share=0.4,
    jpeg_share=0.6,
)

Embed = Callable[[U8], F32]  # a chip, RGB (150, 150, 3), to its embedding


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """The embeddings of N faces, all cut out with one margin; the last axis is D."""

    persons: tuple[str, ...]  # N; a stranger's name is that of the picture
    plain: F32  # (N, D) as photographed
    copies: F32  # (N, C, D) changed, to learn from
    cameras: F32  # (N, T, D) changed with other numbers, to be judged on


def strangers(data: TrainingSet, limit: int) -> Iterator[Face]:
    """The largest clear face of each picture, at most so many, evenly spread; nobody is met twice."""
    chosen = [(sample, box) for sample in data.samples if (box := _largest(sample.boxes[~sample.ignore]))]
    for at in np.unique(np.linspace(0, len(chosen) - 1, min(limit, len(chosen))).round().astype(int)).tolist():
        sample, (x1, y1, x2, y2) = chosen[at]
        path, picture = sample.path, cv2.cvtColor(sample.load().image, cv2.COLOR_RGB2BGR)
        rows, columns = (round(PAD * side) for side in picture.shape[:2])
        padded = np.asarray(cv2.copyMakeBorder(picture, rows, rows, columns, columns, cv2.BORDER_REPLICATE), np.uint8)
        yield cut_face(padded, (x1 + columns, y1 + rows, x2 + columns, y2 + rows), _stranger(path), str(path))


def _stranger(path: Path) -> str:
    return f"stranger {path.stem}"


def _largest(boxes: F32) -> tuple[float, float, float, float] | None:
    heights = boxes[:, 3] - boxes[:, 1]
    if not len(boxes) or heights.max() < LEAST_STRANGER_PX:
        return None
    x1, y1, x2, y2 = boxes[heights.argmax()].tolist()
    return x1, y1, x2, y2


def chip(face: Face, margin: float) -> U8:
    """RGB (150, 150, 3): what the daemon cuts out at a margin of 0, more around it otherwise.

    `margin` is added to each side of the box, in sides of the box.
    """
    x1, y1, x2, y2 = face.box
    across, down = margin * (x2 - x1), margin * (y2 - y1)
    frame = frame_of(face.window, "attack")
    return cut_chip(frame.planes, BT601, (x1 - across, y1 - down, x2 + across, y2 + down), CHIP_PX)


def changed(face: Face, rng: np.random.Generator) -> Face:
    """The face at another size, in other light, turned a little, damaged, its box not quite where it was."""
    scale = float(np.exp(rng.uniform(*np.log(HEIGHTS_PX)))) / (face.box[3] - face.box[1])
    rows, columns = (max(round(side * scale), 2) for side in face.window.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(face.window, (columns, rows), interpolation=method), np.uint8)
    box = np.array([face.box], np.float32) * np.float32(scale)
    picture = Picture(
        np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8), box, np.zeros(1, np.int32), np.zeros(1, np.bool_)
    )
    made = Augmenter(CAMERA)(picture, rng)
    (moved,) = made.boxes.tolist()
    x1, y1, x2, y2 = (side + shift for side, shift in zip(moved, _jitter(moved, rng), strict=True))
    return Face(face.person, face.picture, np.asarray(cv2.cvtColor(made.image, cv2.COLOR_RGB2BGR)), (x1, y1, x2, y2))


def _jitter(box: list[float], rng: np.random.Generator) -> list[float]:
    shifts: list[float] = rng.normal(0, JITTER * (box[3] - box[1]), 4).tolist()
    return shifts


def embedded(faces: Sequence[Face], margin: float, embed: Embed, *, copies: int, cameras: int) -> Gallery:
    """Every face as it is, `copies` times changed to learn from, and `cameras` times to be judged on.

    A copy is the same for every margin, seeded by the numbers of face and copy. Raises what `embed` raises.
    """

    def versions(kind: int, count: int) -> F32:
        made = [
            [embed(chip(changed(face, np.random.default_rng([kind, at, copy])), margin)) for copy in range(count)]
            for at, face in enumerate(faces)
        ]
        return np.array(made, np.float32)

    plain = np.stack([embed(chip(face, margin)) for face in faces])
    return Gallery(tuple(face.person for face in faces), plain, versions(0, copies), versions(1, cameras))
