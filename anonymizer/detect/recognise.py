"""Finds out how to use an unknown TFLite file: its family from its tensors, the rest by trying it on portraits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anonymizer.detect.engine import Engine
from anonymizer.detect.families import FAMILIES, Candidates, Family, make_family
from anonymizer.detect.families.family import shapes_of
from anonymizer.detect.letterbox import Fit, Letterboxer
from anonymizer.detect.self_test import SelfTest, read_picture
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.geometry import iou_matrix
from anonymizer.types import F32, U8, Size, Target

NORMALISATIONS = ((0.0, 1.0), (127.5, 1 / 127.5), (0.0, 1 / 255), (128.0, 1.0), (114.5, 1 / 57.6))  # mean, scale
STRETCHED = ("ssd", "tflite_detection_postprocess")  # families that are trained on pictures stretched to the input
BLUE_FIRST = ("nanodet", "yunet")  # families that are trained on BGR; portraits alone do not tell the order reliably
FOLDED = (("nanodet", 1.0),)  # family and scale: exports with the normalisation in their weights take RGB instead
RAW = ("anchorfree",)  # families whose normalisation is always in the weights, by scripts/train
LEAST_SCORE = 0.3  # of the face or person in each portrait
VARIANTS = ((0.6, 1.0), (0.4, 1.0), (1.0, 0.5), (1.0, 2.0))  # scale and gamma of changed portraits, on which wrong
# normalisations score clearly lower; on the portraits themselves they often do not
IDENTIFIER = b"TFL3"  # in bytes 4 to 7 of every TFLite file


@dataclass(frozen=True, slots=True)
class Reading:
    """How a model file is to be used, and the score that it reached."""

    family: str
    size: Size
    precision: str  # of the input
    mean: float
    scale: float
    bgr: bool
    fit: Fit
    target: Target
    column: int  # of the scores, that of the target
    score: float  # the lowest in any portrait


@dataclass(frozen=True, slots=True)
class _View:
    """One portrait as model input, and what is to be found in it."""

    rgb: U8
    truths: Mapping[Target, F32]  # box (1, 4) in input pixels
    min_iou: Mapping[Target, float]  # with the truth

    def changed(self, scale: float, gamma: float) -> _View:
        """The view scaled down, in the top left corner, and darker (gamma over 1) or brighter."""
        height, width = int(self.rgb.shape[0] * scale), int(self.rgb.shape[1] * scale)
        rgb = np.zeros_like(self.rgb)
        rgb[:height, :width] = cv2.resize(self.rgb, (width, height), interpolation=cv2.INTER_AREA)
        table = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
        truths = {target: box * np.float32(scale) for target, box in self.truths.items()}
        return _View(table[rgb], truths, self.min_iou)


def recognise(path: Path, tests: Sequence[SelfTest], *, target: Target | None = None) -> Reading:
    """How to use the file so that it finds the faces, or the persons, of all tests.

    Tries every family that fits the outputs with every usual normalisation; the reading with the highest scores wins.
    Raises ModelError when no family fits, or none of the readings finds what it must.
    """
    _require_tflite(path)
    size, precision, families = _outline(path)
    best: Reading | None = None
    clearest = 0.0
    refusals = set()
    for family, columns in families.items():
        fit = Fit.STRETCH if family in STRETCHED else Fit.LETTERBOX
        views = list(_views(tests, size, fit))
        decoder = make_family(family, size, range(columns))
        for mean, scale in NORMALISATIONS[:1] if family in RAW else NORMALISATIONS:
            bgr = family in BLUE_FIRST and (family, scale) not in FOLDED
            try:
                with Engine(path, threads=1, mean=mean, scale=scale, bgr=bgr) as engine:
                    for hit, column, score, clarity in _hits(decoder, engine, views, target):
                        if clarity > clearest:
                            best = Reading(family, size, precision, mean, scale, bgr, fit, hit, column, score)
                            clearest = clarity
            except InvalidOutputError as error:
                refusals.add(str(error))
    if best is None:
        wanted = "face or person" if target is None else target.name.lower()
        why = f" ({'; '.join(sorted(refusals))})" if refusals else ""
        raise ModelError(
            f"{path} looks like {' or '.join(families)}, but finds no {wanted} in the test pictures however they are "
            f"given to it{why}: it is trained for something else, or exported with other outputs"
        )
    return best


def _require_tflite(path: Path) -> None:
    """Raises ModelError for another kind of file, which the runtime might crash on."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    if start[4:] != IDENTIFIER:
        raise ModelError(f"{path} is not a TFLite file: convert the model first")


def _outline(path: Path) -> tuple[Size, str, Mapping[str, int]]:
    """Input size and type, and the families that have such outputs, with the number of their classes."""
    with Engine(path, threads=1, mean=0.0, scale=1.0) as engine:
        size, precision = engine.input_size, engine.precision
        shapes = shapes_of(engine.run(np.zeros((size.height, size.width, 3), np.uint8)))
    columns = {name: maker.columns(size, shapes) for name, maker in FAMILIES.items()}
    families = {name: count for name, count in columns.items() if count is not None}
    if not families:
        outputs = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ModelError(
            f"{path}: no known family has the outputs {outputs} for {size} pictures; known: {', '.join(FAMILIES)}"
        )
    return size, precision, families


def _views(tests: Iterable[SelfTest], size: Size, fit: Fit) -> Iterator[_View]:
    for picture in dict.fromkeys(test.picture for test in tests):
        planes, colour = read_picture(picture)
        rgb, placement = Letterboxer(size, fit).apply(planes, colour)
        mine = [test for test in tests if test.picture == picture]
        truths = {test.target: placement.to_input(test.truth(planes.size)) for test in mine}
        yield _View(rgb, truths, {test.target: test.min_iou for test in mine})


def _hits(
    decoder: Family, engine: Engine, views: Sequence[_View], wanted: Target | None
) -> Iterator[tuple[Target, int, float, float]]:
    """Target, column, lowest score and clarity of each column whose best box is the target in every view.

    The clarity is the lowest score, plus those of the changed views in which the target is found.
    """
    found = [decoder.decode(engine.run(view.rgb), LEAST_SCORE) for view in views]
    for target in Target if wanted is None else (wanted,):
        scores = [_scores(candidates, view, target) for candidates, view in zip(found, views, strict=True)]
        for column in set.intersection(*(set(each) for each in scores)):
            score = min(each[column] for each in scores)
            yield target, column, score, score + _changed_scores(decoder, engine, views, target, column)


def _changed_scores(decoder: Family, engine: Engine, views: Iterable[_View], target: Target, column: int) -> float:
    """Sum of a column's scores in smaller, brighter and darker views; 0 for each in which the target is not found."""
    changed = [view.changed(scale, gamma) for view in views for scale, gamma in VARIANTS]
    found = [decoder.decode(engine.run(view.rgb), LEAST_SCORE) for view in changed]
    return sum(_scores(*pair, target).get(column, 0.0) for pair in zip(found, changed, strict=True))


def _scores(found: Candidates, view: _View, target: Target) -> dict[int, float]:
    """The score of each column whose best box is the target's."""
    overlap = iou_matrix(found.boxes, view.truths[target])[:, 0]
    scores = {}
    for column in np.unique(found.class_ids):
        rows = np.flatnonzero(found.class_ids == column)
        best = rows[found.scores[rows].argmax()]
        if overlap[best] >= view.min_iou[target]:
            scores[int(column)] = float(found.scores[best])
    return scores
