"""Draws precision over recall and the leak by height, one colour a detector."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from anonymizer.evaluate.precision import RECALLS
from anonymizer.evaluate.scores import Scores
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
_PANEL_PX, _LEFT_PX, _TOP_PX, _GAP_PX, _LINE_PX = 480, 70, 60, 90, 26
_STEPS = 5


def draw(scores: Sequence[Scores]) -> U8:
    """(H, W, 3) BGR: on the left the curves, on the right the leak, below the names."""
    height = _TOP_PX + _PANEL_PX + 60 + _LINE_PX * (len(scores) + 1)
    picture = np.full((height, 2 * (_LEFT_PX + _PANEL_PX) + _GAP_PX, 3), 255, np.uint8)
    left, right = _LEFT_PX, 2 * _LEFT_PX + _PANEL_PX + _GAP_PX // 2
    _axes(picture, left, "precision over recall (IoU 0.5)")
    _axes(picture, right, "leak by height, px")
    _curves(picture, left, scores)
    _bars(picture, right, scores)
    for row, score in enumerate(scores):
        y = _TOP_PX + _PANEL_PX + 60 + _LINE_PX * row
        cv2.rectangle(picture, (left, y - 12), (left + 22, y + 2), _colour(row), cv2.FILLED)
        _text(picture, _name(score), (left + 34, y))
    return picture


def _name(scores: Scores) -> str:
    at = "" if scores.threshold is None else f" at {scores.threshold:g}"
    ap, leak = scores.overall.average_precision, scores.overall.leak
    figures = [f"AP {100 * ap:.1f}"] if ap is not None else []
    figures += [f"leak {100 * leak:.1f} %"] if leak is not None else []
    return f"{scores.name}{at}: {', '.join(figures) or 'nothing labelled'}"


def _colour(row: int) -> tuple[int, int, int]:
    return COLOURS[row % len(COLOURS)]


def _axes(picture: U8, left: int, title: str) -> None:
    _text(picture, title, (left, _TOP_PX - 24), size=0.6)
    for step in range(_STEPS + 1):
        y = _TOP_PX + _PANEL_PX - _PANEL_PX * step // _STEPS
        cv2.line(picture, (left, y), (left + _PANEL_PX, y), _GRID, 1)
        _text(picture, f"{100 * step // _STEPS} %", (left - 60, y + 5))


def _curves(picture: U8, left: int, scores: Sequence[Scores]) -> None:
    for step in range(_STEPS + 1):
        x = left + _PANEL_PX * step // _STEPS
        cv2.line(picture, (x, _TOP_PX), (x, _TOP_PX + _PANEL_PX), _GRID, 1)
        _text(picture, f"{100 * step // _STEPS} %", (x - 16, _TOP_PX + _PANEL_PX + 22))
    for row, score in enumerate(scores):
        if score.curve.precision:
            across = left + RECALLS * _PANEL_PX
            down = _TOP_PX + (1 - np.array(score.curve.precision)) * _PANEL_PX
            points = np.stack([across, down], axis=1).round().astype(np.int32)
            cv2.polylines(picture, [points], isClosed=False, color=_colour(row), thickness=2, lineType=cv2.LINE_AA)


def _bars(picture: U8, left: int, scores: Sequence[Scores]) -> None:
    if not scores:
        return
    group = _PANEL_PX // len(scores[0].bins)
    width = int(group * 0.8 / len(scores))
    bottom = _TOP_PX + _PANEL_PX
    for column, heights in enumerate(each.heights for each in scores[0].bins):
        start = left + group * column + group // 10
        _text(picture, str(heights), (start, bottom + 22))
        for row, score in enumerate(scores):
            leak = score.bins[column].leak
            if leak is not None:
                corner = (start + width * row, bottom - round(_PANEL_PX * leak))
                cv2.rectangle(picture, corner, (start + width * (row + 1) - 2, bottom), _colour(row), cv2.FILLED)


def _text(picture: U8, text: str, origin: tuple[int, int], size: float = 0.5) -> None:
    cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)
