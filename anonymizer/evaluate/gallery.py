"""Contact sheets of the labels that a detector missed or left bare, one for each range of heights."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.evaluate.compare import Contender
from anonymizer.evaluate.matching import NOBODY, Truth, match
from anonymizer.evaluate.sample import Flags, Sample
from anonymizer.evaluate.scores import BINS, HeightBin, are_of
from anonymizer.evaluate.trial import Trial
from anonymizer.geometry import iou_matrix
from anonymizer.types import U8

LIMIT = 60  # most cells of a sheet
CONTEXT = 4.0  # side of the cut-out that is shown, in longer sides of the label
CELL_PX, CAPTION_PX, COLUMNS = 192, 38, 6
_LABEL, _FOUND, _INK = (0, 94, 213), (178, 114, 0), (60, 60, 60)  # BGR
_LEAST_SHARED = 0.1  # IoU with the label from which the score of a weak detection is told


@dataclass(frozen=True, slots=True, eq=False)
class Miss:
    """A label that was not found, not covered, or neither."""

    sample: Sample
    trial: Trial
    at: int  # row of the label
    is_missed: bool  # no detection at or above the threshold matches it
    is_bare: bool  # masks leave too much of it uncovered
    best_score: float  # of the detections that overlap it at all; 0: none

    @property
    def height_px(self) -> float:
        """Of the label."""
        return float(self.trial.boxes[self.at, 3] - self.trial.boxes[self.at, 1])

    def __str__(self) -> str:
        ways = [*(["missed"] if self.is_missed else []), *(["bare"] if self.is_bare else [])]
        seen = f"score {self.best_score:.2f}" if self.best_score else "unseen"
        return f"{self.height_px:.0f} px, {' and '.join(ways)}, {seen}"


def misses(samples: Sequence[Sample], contender: Contender, heights: HeightBin) -> list[Miss]:
    """All misses of these heights, the tallest first; without detections (no threshold) only what is bare."""
    pairs = zip(samples, contender.trials, strict=True)
    found = itertools.chain.from_iterable(_misses(*pair, contender.threshold, heights) for pair in pairs)
    return sorted(found, key=lambda miss: -miss.height_px)


def _misses(sample: Sample, trial: Trial, threshold: float | None, heights: HeightBin) -> Iterator[Miss]:
    missed = np.zeros(len(trial.boxes), np.bool_) if threshold is None else _missed(trial)
    counts = ~trial.ignored & are_of(trial.boxes, heights)
    overlap = iou_matrix(trial.boxes, trial.found)
    for at in np.flatnonzero((missed | trial.bare) & counts).tolist():
        near = trial.scores[overlap[at] >= _LEAST_SHARED]
        yield Miss(sample, trial, at, bool(missed[at]), bool(trial.bare[at]), float(near.max(initial=0.0)))


def _missed(trial: Trial) -> Flags:
    taken = match(trial.counted, Truth(trial.boxes, trial.ignored, trial.ignored, trial.crowd))
    missed = np.ones(len(trial.boxes), np.bool_)
    missed[taken[taken != NOBODY]] = False
    return missed


def sheets(samples: Sequence[Sample], contender: Contender) -> Iterator[tuple[HeightBin, U8]]:
    """A sheet (H, W, 3) BGR of the LIMIT tallest misses of each range of heights; labels orange, detections blue.

    Sheets show people unmasked. Raises DatasetError for a picture that is gone.
    """
    for heights in BINS:
        found = misses(samples, contender, heights)
        if found:
            yield heights, _sheet([_cell(miss) for miss in found[:LIMIT]])


def _sheet(cells: Sequence[U8]) -> U8:
    rows = -(-len(cells) // COLUMNS)
    height = CELL_PX + CAPTION_PX
    sheet = np.full((rows * height, COLUMNS * CELL_PX, 3), 255, np.uint8)
    for at, cell in enumerate(cells):
        top, left = at // COLUMNS * height, at % COLUMNS * CELL_PX
        sheet[top : top + height, left : left + CELL_PX] = cell
    return sheet


def _cell(miss: Miss) -> U8:
    """The label in the middle of its surroundings, and below it what happened to it."""
    box = miss.trial.boxes[miss.at].astype(np.float64)
    side = round(max(CONTEXT * float((box[2:] - box[:2]).max()), 24.0))
    corner = ((box[:2] + box[2:] - side) / 2).round()
    cell = np.full((CELL_PX + CAPTION_PX, CELL_PX, 3), 255, np.uint8)
    how = cv2.INTER_AREA if side > CELL_PX else cv2.INTER_CUBIC
    cell[:CELL_PX] = cv2.resize(_cut(miss.sample.load(), corner, side), (CELL_PX, CELL_PX), interpolation=how)
    for boxes, colour in ((miss.trial.counted, _FOUND), (box[None], _LABEL)):
        drawn = ((boxes - np.tile(corner, 2)) * CELL_PX / side).round().astype(int)
        for x1, y1, x2, y2 in drawn.tolist():
            cv2.rectangle(cell[:CELL_PX], (x1, y1), (x2, y2), colour, 1)
    for row, text in enumerate((str(miss), miss.sample.name[-30:])):
        origin = (3, CELL_PX + 14 + 16 * row)
        cv2.putText(cell, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.36, _INK, 1, cv2.LINE_AA)
    return cell


def _cut(picture: U8, corner: NDArray[np.float64], side: int) -> U8:
    """A square part of the picture; grey where it reaches beyond the picture."""
    part = np.full((side, side, 3), 128, np.uint8)
    left, top = corner.astype(int).tolist()
    inner = picture[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
    down, across = max(-top, 0), max(-left, 0)
    part[down : down + inner.shape[0], across : across + inner.shape[1]] = inner
    return part
