"""Draws precision over recall, for all labels and by height, and the leak by height, one colour a detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from anonymizer.evaluate.compare import Comparison
from anonymizer.evaluate.precision import RECALLS, Curve
from anonymizer.evaluate.scores import BINS, Scores
from anonymizer.types import U8

COLOURS = (  # BGR, told apart by colour-blind people too (Okabe and Ito)
    (178, 114, 0),
    (0, 94, 213),
    (115, 158, 0),
    (167, 121, 204),
    (0, 159, 230),
    (233, 180, 86),
    (66, 228, 240),
    (40, 40, 40),
)
_INK, _GRID = (60, 60, 60), (225, 225, 225)
_LEFT_PX, _TOP_PX, _GAP_PX, _LINE_PX = 70, 60, 90, 26
_STEPS = 5


@dataclass(frozen=True, slots=True)
class _Panel:
    left: int
    top: int
    side: int

    @property
    def bottom(self) -> int:
        return self.top + self.side

    def down(self, share: float) -> int:
        """The row of pixels at a share."""
        return self.bottom - round(self.side * share)


_CURVES = _Panel(_LEFT_PX, _TOP_PX, 480)
_LEAK = _Panel(2 * _LEFT_PX + _CURVES.side + _GAP_PX // 2, _TOP_PX, _CURVES.side)
_PART_PX = 220  # side of the panel of one height
_PARTS = tuple(_Panel(_LEFT_PX + 285 * at, _CURVES.bottom + 100, _PART_PX) for at in range(len(BINS)))
_WIDTH_PX, _NAMES_PX = 2 * (_LEFT_PX + _CURVES.side) + _GAP_PX, _PARTS[0].bottom + 60


def draw(scores: Sequence[Scores], comparisons: Sequence[Comparison]) -> U8:
    """(H, W, 3) BGR: curves on the left, leak on the right, below them curves by height, names and differences."""
    lines = len(scores) + len(comparisons) + 1
    picture = np.full((_NAMES_PX + _LINE_PX * lines, _WIDTH_PX, 3), 255, np.uint8)
    _axes(picture, _CURVES, "precision over recall (IoU 0.5)")
    _curves(picture, _CURVES, [score.overall.curve for score in scores])
    _axes(picture, _LEAK, "leak by height, px")
    _bars(picture, scores)
    for at, (panel, heights) in enumerate(zip(_PARTS, BINS, strict=True)):
        _axes(picture, panel, f"{heights} px")
        _curves(picture, panel, [score.bins[at].curve for score in scores])
    by_name = {each.name: each for each in comparisons}
    y = _NAMES_PX
    for row, score in enumerate(scores):
        cv2.rectangle(picture, (_LEFT_PX, y - 12), (_LEFT_PX + 22, y + 2), _colour(row), cv2.FILLED)
        _text(picture, _name(score), (_LEFT_PX + 34, y))
        y += _LINE_PX
        if score.name in by_name:
            _text(picture, _difference_text(by_name[score.name]), (_LEFT_PX + 60, y))
            y += _LINE_PX
    return picture


def _name(scores: Scores) -> str:
    at = "" if scores.threshold is None else f" at {scores.threshold:g}"
    ap, leak = scores.overall.average_precision, scores.overall.leak
    figures = [f"AP {100 * ap:.1f}"] if ap is not None else []
    figures += [f"leak {100 * leak:.1f} %"] if leak is not None else []
    return f"{scores.name}{at}: {', '.join(figures) or 'nothing labelled'}"


def _difference_text(comparison: Comparison) -> str:
    figures = {"AP": comparison.overall.average_precision, "leak": comparison.overall.leak}
    found = [f"{name} {interval}" for name, interval in figures.items() if interval]
    return f"less {comparison.reference}: {', '.join(found) or 'nothing to compare'}"


def _colour(row: int) -> tuple[int, int, int]:
    return COLOURS[row % len(COLOURS)]


def _axes(picture: U8, panel: _Panel, title: str) -> None:
    _text(picture, title, (panel.left, panel.top - 24), size=0.6)
    for step in range(_STEPS + 1):
        y = panel.down(step / _STEPS)
        cv2.line(picture, (panel.left, y), (panel.left + panel.side, y), _GRID, 1)
        _text(picture, f"{100 * step // _STEPS} %", (panel.left - 60, y + 5))


def _curves(picture: U8, panel: _Panel, curves: Sequence[Curve]) -> None:
    for step in range(_STEPS + 1):
        x = panel.left + panel.side * step // _STEPS
        cv2.line(picture, (x, panel.top), (x, panel.bottom), _GRID, 1)
        if panel.side > _PART_PX:
            _text(picture, f"{100 * step // _STEPS} %", (x - 16, panel.bottom + 22))
    for row, curve in enumerate(curves):
        if curve.precision:
            across = panel.left + RECALLS * panel.side
            down = panel.top + (1 - np.array(curve.precision)) * panel.side
            points = np.stack([across, down], axis=1).round().astype(np.int32)
            cv2.polylines(picture, [points], isClosed=False, color=_colour(row), thickness=2, lineType=cv2.LINE_AA)


def _bars(picture: U8, scores: Sequence[Scores]) -> None:
    group = _LEAK.side // len(BINS)
    width = int(group * 0.8 / max(len(scores), 1))
    for column, heights in enumerate(BINS):
        start = _LEAK.left + group * column + group // 10
        _text(picture, str(heights), (start, _LEAK.bottom + 22))
        for row, score in enumerate(scores):
            leak = score.bins[column].leak
            if leak is not None:
                corner = (start + width * row, _LEAK.down(leak))
                opposite = (start + width * (row + 1) - 2, _LEAK.bottom)
                cv2.rectangle(picture, corner, opposite, _colour(row), cv2.FILLED)


def _text(picture: U8, text: str, origin: tuple[int, int], size: float = 0.5) -> None:
    cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)
