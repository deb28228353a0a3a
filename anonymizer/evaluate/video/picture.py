"""Draws the share of people that is bare over time, one strip for each way of masking."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from anonymizer.evaluate.chart import COLOURS
from anonymizer.evaluate.video.leaks import ClipScores
from anonymizer.types import U8

_INK, _GRID, _GROUND = (60, 60, 60), (190, 190, 190), (245, 245, 245)
_WIDTH_PX, _STRIP_PX, _LEFT_PX, _TITLE_PX, _BOTTOM_PX = 1000, 120, 60, 40, 50


def draw(scores: Sequence[ClipScores]) -> U8:
    """(H, W, 3) BGR: the share of people that is bare in each frame over time, clip after clip."""
    height = len(scores) * (_STRIP_PX + _TITLE_PX) + _BOTTOM_PX
    picture = np.full((height, _LEFT_PX + _WIDTH_PX + 20, 3), 255, np.uint8)
    for row, score in enumerate(scores):
        top = row * (_STRIP_PX + _TITLE_PX) + _TITLE_PX
        leak = score.leak.value
        figures = "nothing labelled" if leak is None else f"leak {100 * leak:.2f} %, {score.longest.frames} in a row"
        _text(picture, f"{score.name}: {figures}", (_LEFT_PX, top - 10))
        _strip(picture, top, score.leaks_by_frame, COLOURS[row % len(COLOURS)])
    _text(picture, "share of people that is bare, frame by frame; lines part the clips", (_LEFT_PX, height - 15))
    return picture


def _strip(picture: U8, top: int, clips: Sequence[Sequence[float]], colour: tuple[int, int, int]) -> None:
    bottom, right = top + _STRIP_PX, _LEFT_PX + _WIDTH_PX
    cv2.rectangle(picture, (_LEFT_PX, top), (right, bottom), _GROUND, cv2.FILLED)
    _text(picture, "100 %", (8, top + 8), 0.4)
    _text(picture, "0 %", (8, bottom), 0.4)
    count = max(sum(map(len, clips)), 1)
    edges = _LEFT_PX + np.arange(count + 1) * _WIDTH_PX // count
    at = 0
    for clip in clips:
        for share in clip:
            if share > 0:
                corner = (int(edges[at]), bottom - max(1, round(share * _STRIP_PX)))
                cv2.rectangle(
                    picture, corner, (max(int(edges[at]), int(edges[at + 1]) - 1), bottom), colour, cv2.FILLED
                )
            at += 1
        cv2.line(picture, (int(edges[at]), top), (int(edges[at]), bottom), _GRID, 1)


def _text(picture: U8, text: str, origin: tuple[int, int], size: float = 0.5) -> None:
    cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)
