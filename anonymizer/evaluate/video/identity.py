"""How well tracks keep the identities of people: MOTA with identity switches, and IDF1.

MOTA: Bernardin and Stiefelhagen, "Evaluating multiple object tracking performance: the CLEAR MOT metrics", EURASIP
JIVP 2008; IDF1: Ristani et al., "Performance measures and a data set for multi-target, multi-camera tracking", ECCV
Workshops 2016. Ties are broken as in the Python package motmetrics, whose figures the tests contain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from anonymizer.evaluate.matching import MATCH_IOU
from anonymizer.evaluate.video.assignment import assign
from anonymizer.evaluate.video.truth import FrameTruth
from anonymizer.geometry import iou_matrix
from anonymizer.types import F32, I32


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """The M tracks that the detections of a frame support."""

    boxes: F32  # (M, 4)
    track_ids: I32  # (M,)


@dataclass(frozen=True, slots=True)
class IdentityCounts:
    """Sums over the frames of a clip; those of several clips may be added."""

    truths: int = 0
    tracked: int = 0  # number of boxes of tracks
    misses: int = 0
    false_positives: int = 0
    switches: int = 0
    id_true_positives: int = 0

    def __add__(self, other: IdentityCounts) -> IdentityCounts:
        return IdentityCounts(
            self.truths + other.truths,
            self.tracked + other.tracked,
            self.misses + other.misses,
            self.false_positives + other.false_positives,
            self.switches + other.switches,
            self.id_true_positives + other.id_true_positives,
        )

    @property
    def mota(self) -> float | None:
        """1 at best; below 0 with more mistakes than people; None without ground truth."""
        mistakes = self.misses + self.false_positives + self.switches
        return 1 - mistakes / self.truths if self.truths else None

    @property
    def idf1(self) -> float | None:
        """0-1; None where nobody is and nobody is tracked."""
        total = self.truths + self.tracked
        return 2 * self.id_true_positives / total if total else None


def count_identities(frames: Iterable[tuple[FrameTruth, Followed]]) -> IdentityCounts:
    """Compare one clip's frames, in order, with its truth; tracks of people who are not judged do not count."""
    known: dict[int, int] = {}  # person: the track last matched
    together: Counter[tuple[int, int]] = Counter()
    truths = tracked = misses = false_positives = switches = 0
    for truth, every in frames:
        found = _judged(truth, every)
        people, ids = truth.identities[truth.judged].tolist(), found.track_ids.tolist()
        overlap = iou_matrix(truth.boxes[truth.judged], found.boxes).astype(np.float64)
        together.update((people[row], ids[column]) for row, column in np.argwhere(overlap >= MATCH_IOU).tolist())
        pairs = _pairs(overlap, people, ids, known)
        switches += sum(known.get(person, track_id) != track_id for person, track_id in pairs)
        known.update(pairs)
        truths, tracked = truths + len(people), tracked + len(ids)
        misses, false_positives = misses + len(people) - len(pairs), false_positives + len(ids) - len(pairs)
    return IdentityCounts(truths, tracked, misses, false_positives, switches, _id_true_positives(together))


def _judged(truth: FrameTruth, found: Followed) -> Followed:
    """The tracks without those of people who are not judged."""
    overlap = iou_matrix(truth.boxes, found.boxes).astype(np.float64)
    rows, columns = _best(overlap)
    beside = columns[~truth.judged[rows]]
    return Followed(np.delete(found.boxes, beside, axis=0), np.delete(found.track_ids, beside))


def _pairs(
    overlap: np.ndarray[tuple[int, int], np.dtype[np.float64]], people: list[int], ids: list[int], known: dict[int, int]
) -> list[tuple[int, int]]:
    """Pairs of person and track: pairs of before that still overlap are kept, the others are matched anew."""
    left = overlap.copy()
    pairs: list[tuple[int, int]] = []
    for row, person in enumerate(people):
        column = ids.index(known[person]) if known.get(person) in ids else None
        if column is not None and left[row, column] >= MATCH_IOU:
            pairs.append((person, ids[column]))
            left[row, :], left[:, column] = 0.0, 0.0
    rows, columns = _best(left)
    return pairs + [(people[row], ids[column]) for row, column in zip(rows.tolist(), columns.tolist(), strict=True)]


def _best(
    overlap: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Rows and columns of as many overlapping pairs as possible, with the largest total overlap."""
    is_possible = overlap >= MATCH_IOU
    rows, columns = assign(np.where(is_possible, -1000.0 - overlap, 0.0))
    chosen = is_possible[rows, columns]
    return rows[chosen], columns[chosen]


def _id_true_positives(together: Counter[tuple[int, int]]) -> int:
    """The number of frames that agree with the best fixed pairing of people and tracks."""
    people, ids = (sorted({pair[side] for pair in together}) for side in (0, 1))
    table = np.zeros((len(people), len(ids)))
    for (person, track_id), frames in together.items():
        table[people.index(person), ids.index(track_id)] = frames
    rows, columns = assign(-table)
    return int(table[rows, columns].sum())
