"""Scores and maps judged: accuracy, and how often the map's hottest cell lies on somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from anonymizer.types import F32


@dataclass(frozen=True, slots=True)
class Verdict:
    """Figures of one model on one set; shares are 0-1."""

    examples: int
    accuracy: float
    found: float  # of the pictures with somebody
    quiet: float  # of the pictures of nobody
    pointing: float  # of the pictures with somebody: the hottest cell's middle lies in a person's box
    by_chance: float  # what a random cell would reach there

    def __str__(self) -> str:
        return (
            f"{self.examples} pictures: accuracy {100 * self.accuracy:.1f} % (somebody {100 * self.found:.1f} %, "
            f"nobody {100 * self.quiet:.1f} %), pointing {100 * self.pointing:.1f} % "
            f"(by chance {100 * self.by_chance:.1f} %)"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a model says of one picture."""

    score: float  # that somebody is there, 0-1
    map: F32  # (h, w) activation of the class over the whole picture, of any scale


def normalised(activation: F32) -> F32:
    """A map as 0-1: least to greatest; all 0 where nothing differs."""
    low, high = float(activation.min()), float(activation.max())
    return ((activation - low) / max(high - low, 1e-9)).astype(np.float32)


def resized(activation: F32, width: int, height: int) -> F32:
    """A normalised map at the size of the frame (height, width), 0-1."""
    return np.asarray(cv2.resize(normalised(activation), (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def hottest(activation: F32) -> tuple[float, float]:
    """x and y of the middle of the hottest cell, as shares of the picture's sides."""
    row, column = np.unravel_index(int(activation.argmax()), activation.shape)
    return (int(column) + 0.5) / activation.shape[1], (int(row) + 0.5) / activation.shape[0]


def judge(answers: Sequence[Answer], people: Sequence[F32]) -> Verdict:
    """`people`: for each picture the boxes (N, 4) of who is there, as shares of its sides; empty means nobody."""
    present = np.array([len(boxes) > 0 for boxes in people], np.bool_)
    said = np.array([answer.score >= 0.5 for answer in answers], np.bool_)
    pointed = [_points(answer.map, boxes) for answer, boxes in zip(answers, people, strict=True) if len(boxes)]
    chance = [_cells_on(answer.map, boxes) for answer, boxes in zip(answers, people, strict=True) if len(boxes)]
    return Verdict(
        examples=len(answers),
        accuracy=_share(said == present),
        found=_share(said[present]),
        quiet=_share(~said[~present]),
        pointing=_share(np.array(pointed, np.bool_)),
        by_chance=float(np.mean(chance)) if chance else 0.0,
    )


def _share(hits: np.ndarray) -> float:
    return float(hits.mean()) if len(hits) else 0.0


def _points(activation: F32, boxes: F32) -> bool:
    x, y = hottest(activation)
    return bool(((boxes[:, 0] <= x) & (x < boxes[:, 2]) & (boxes[:, 1] <= y) & (y < boxes[:, 3])).any())


def _cells_on(activation: F32, boxes: F32) -> float:
    rows, columns = activation.shape
    x, y = ((np.arange(count) + 0.5) / count for count in (columns, rows))
    across = (boxes[:, None, 0] <= x) & (x < boxes[:, None, 2])
    down = (boxes[:, None, 1] <= y) & (y < boxes[:, None, 3])
    return float((down[:, :, None] & across[:, None, :]).any(axis=0).mean())
