"""Counts and sizes of a data set, as a table and as plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.types import F32, U8
from scripts.train.datasets.store import size_of
from scripts.train.datasets.training_set import TrainingSet

HEIGHTS_PX = (0, 8, 16, 24, 32, 48, 64, 96, 128, 256, 512)  # lower bounds of the bars
PER_PICTURE = (0, 1, 2, 3, 5, 10, 20, 50, 100)
ASPECTS = (0.0, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 2.0)  # width / height
_COLOURS = ((178, 114, 0), (0, 94, 213), (115, 158, 0), (167, 121, 204), (0, 159, 230))  # BGR, Okabe and Ito
_INK, _PAPER = (60, 60, 60), 255
_WIDTH_PX, _HEIGHT_PX, _LEFT_PX, _TOP_PX, _GAP_PX = 520, 260, 60, 50, 70
_MAP_CELLS = 24
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ClassStats:
    """Figures of one class."""

    name: str
    boxes: int  # that count
    ignored: int
    heights: Counts  # by HEIGHTS_PX
    per_picture: Counts  # pictures by PER_PICTURE
    aspects: Counts  # by ASPECTS
    middles: F32  # (cells, cells) share of the boxes whose middle lies there, rows from the top
    median_height_px: float  # 0 without boxes


@dataclass(frozen=True, slots=True, eq=False)
class Stats:
    """Figures of a data set."""

    pictures: int
    empty: int  # without a box that counts
    classes: tuple[ClassStats, ...]


def measure(data: TrainingSet) -> Stats:
    """Ignored boxes are counted and otherwise left out; raises DatasetError for a missing picture."""
    sizes = np.array([size_of(sample.path, sample.labelled) for sample in data.samples], np.float64).reshape(-1, 2)
    empty = sum(not (~sample.ignore).any() for sample in data.samples)
    return Stats(len(data.samples), empty, tuple(_of_class(data, sizes, at) for at in range(len(data.classes))))


def _of_class(data: TrainingSet, sizes: NDArray[np.float64], class_id: int) -> ClassStats:
    chosen = [sample.boxes[(sample.class_ids == class_id) & ~sample.ignore] for sample in data.samples]
    boxes = np.concatenate([np.empty((0, 4), np.float32), *chosen]).astype(np.float64)
    counts = np.array([len(each) for each in chosen], int)
    sides = boxes[:, 2:] - boxes[:, :2]
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 / np.repeat(sizes, counts, axis=0)
    cells = (middles * _MAP_CELLS).astype(int).clip(0, _MAP_CELLS - 1)
    heat = np.zeros((_MAP_CELLS, _MAP_CELLS), np.float32)
    np.add.at(heat, (cells[:, 1], cells[:, 0]), 1)
    return ClassStats(
        name=data.classes[class_id],
        boxes=len(boxes),
        ignored=sum(int((sample.ignore & (sample.class_ids == class_id)).sum()) for sample in data.samples),
        heights=_binned(sides[:, 1], HEIGHTS_PX),
        per_picture=_binned(counts, PER_PICTURE),
        aspects=_binned(sides[:, 0] / np.maximum(sides[:, 1], 1e-9), ASPECTS),
        middles=heat / np.float32(max(1, len(boxes))),
        median_height_px=float(np.median(sides[:, 1])) if len(boxes) else 0.0,
    )


def _binned(values: NDArray[np.floating | np.integer], bounds: Sequence[float]) -> Counts:
    return np.histogram(values, [*bounds, np.inf])[0].astype(np.int64)


def as_table(stats: Stats) -> str:
    """What a terminal shows."""
    lines = [f"{stats.pictures} pictures, {stats.empty} without boxes"]
    for each in stats.classes:
        lines.append(
            f"{each.name}: {each.boxes} boxes, {each.ignored} ignored, median {each.median_height_px:.0f} px high"
        )
        rows = (("height px", HEIGHTS_PX, each.heights), ("in a picture", PER_PICTURE, each.per_picture))
        for title, bounds, counts in (*rows, ("width/height", ASPECTS, each.aspects)):
            lines.append(f"  {title:13}" + " ".join(f"{label:>8}" for label in _labels(bounds)))
            lines.append(f"  {'':13}" + " ".join(f"{count:>8}" for count in counts.tolist()))
    return "\n".join(lines)


def _labels(bounds: Sequence[float]) -> list[str]:
    return [f"{bound:g}-" for bound in bounds]


def plot(stats: Stats) -> U8:
    """(H, W, 3) BGR: a row of plots for each class: heights, boxes a picture, width by height, where they are."""
    rows = [_row(each, _COLOURS[at % len(_COLOURS)]) for at, each in enumerate(stats.classes)]
    width = 3 * (_WIDTH_PX + _GAP_PX) + _HEIGHT_PX + 2 * _GAP_PX
    return np.concatenate(rows) if rows else np.full((_HEIGHT_PX, width, 3), _PAPER, np.uint8)


def _row(stats: ClassStats, colour: tuple[int, int, int]) -> U8:
    title = f"{stats.name}: {stats.boxes} boxes"
    panels = [
        _bars(f"{title}, by height (px)", HEIGHTS_PX, stats.heights, colour),
        _bars("pictures by number of boxes", PER_PICTURE, stats.per_picture, colour),
        _bars("boxes by width / height", ASPECTS, stats.aspects, colour),
        _heat("where their middles are", stats.middles),
    ]
    return np.concatenate(panels, axis=1)


def _panel(title: str, width: int) -> U8:
    panel = np.full((_TOP_PX + _HEIGHT_PX + 50, width + _GAP_PX, 3), _PAPER, np.uint8)
    cv2.putText(panel, title, (_LEFT_PX, _TOP_PX - 22), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
    return panel


def _bars(title: str, bounds: Sequence[float], counts: Counts, colour: tuple[int, int, int]) -> U8:
    panel = _panel(title, _WIDTH_PX)
    bottom, step = _TOP_PX + _HEIGHT_PX, _WIDTH_PX / len(bounds)
    for at, (label, count) in enumerate(zip(_labels(bounds), counts.tolist(), strict=True)):
        left, right = round(_LEFT_PX + at * step), round(_LEFT_PX + (at + 0.85) * step)
        top = bottom - round(_HEIGHT_PX * 0.92 * count / max(1, int(counts.max())))
        cv2.rectangle(panel, (left, top), (right, bottom), colour, cv2.FILLED)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(panel, str(count), (left, top - 4), font, 0.36, _INK, 1, cv2.LINE_AA)
        cv2.putText(panel, label, (left, bottom + 18), font, 0.4, _INK, 1, cv2.LINE_AA)
    cv2.line(panel, (_LEFT_PX, bottom), (_LEFT_PX + _WIDTH_PX, bottom), _INK, 1)
    return panel


def _heat(title: str, shares: F32) -> U8:
    panel = _panel(title, _HEIGHT_PX + _LEFT_PX)
    dark = 255 * (1 - shares / max(float(shares.max()), 1e-9))
    grey = cv2.resize(dark.astype(np.uint8), (_HEIGHT_PX, _HEIGHT_PX), interpolation=cv2.INTER_NEAREST)
    place = panel[_TOP_PX : _TOP_PX + _HEIGHT_PX, _LEFT_PX : _LEFT_PX + _HEIGHT_PX]
    place[:] = grey[..., None]
    cv2.rectangle(panel, (_LEFT_PX, _TOP_PX), (_LEFT_PX + _HEIGHT_PX, _TOP_PX + _HEIGHT_PX), _INK, 1)
    return panel
