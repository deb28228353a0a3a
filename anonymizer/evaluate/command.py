"""The command `anonymizer evaluate detect`: data set in, table, JSON and picture out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2

from anonymizer.errors import DatasetError
from anonymizer.evaluate.chart import draw
from anonymizer.evaluate.dataset import Dataset, open_dataset
from anonymizer.evaluate.report import as_json, text_table
from anonymizer.evaluate.scores import Scores, sum_up
from anonymizer.evaluate.trial import try_detector, try_pictures
from anonymizer.policy import Policy
from anonymizer.ports import Detector
from anonymizer.settings.schema import Settings, TargetName
from anonymizer.types import Target

CURVE_FLOOR = 0.05  # least score that a curve is drawn from
CURVE_LIMIT = 5000  # detections that a curve may need in one picture


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model, and how far it looks."""

    model: str
    reach_px: int | None = None  # height of the smallest face to be found in tiles; None: the whole frame alone

    def __str__(self) -> str:
        return self.model if self.reach_px is None else f"{self.model}@{self.reach_px}"


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure; None or empty means the default."""

    dataset: Path
    pictures: Path | None = None  # their folder, if it is not beside the labels
    target: Target | None = None  # None: the only one that is labelled
    limit: int | None = None  # pictures
    candidates: tuple[Candidate, ...] = ()  # empty: that of the settings, unless another tool is measured
    threshold: float | None = None  # None: that of the settings
    anonymized: Path | None = None  # another tool's pictures
    fill: tuple[int, int, int] = (255, 0, 255)  # B, G, R of that tool's masks
    json: Path | None = None
    picture: Path | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """The detector that is needed, on one thread."""

    candidate: Candidate
    target: Target
    threshold: float  # least score that it reports
    max_detections: int


MakeDetector = Callable[[Order], Detector]  # not started; raises ModelError


def evaluate(request: Request, settings: Settings, make_detector: MakeDetector) -> str:
    """Measure, write the files that were asked for, and return the table; raises an AnonymizerError."""
    cv2.setNumThreads(1)
    dataset = open_dataset(request.dataset, request.target, request.pictures).spread(request.limit)
    scores = list(_scores(request, dataset, settings, make_detector))
    if request.json:
        _write(request.json, as_json(scores).encode())
    if request.picture:
        _, png = cv2.imencode(".png", draw(scores))
        _write(request.picture, png.tobytes())
    return text_table(scores)


def _scores(request: Request, dataset: Dataset, settings: Settings, make_detector: MakeDetector) -> Iterator[Scores]:
    target = dataset.target
    if request.anonymized is not None:
        trials = list(try_pictures(dataset, request.anonymized, request.fill))
        yield sum_up(request.anonymized.name, target, trials, None)
    detect = settings.detect
    own, own_threshold = {
        Target.FACE: (Candidate(detect.face_model, detect.reach_px), detect.face_threshold),
        Target.PERSON: (Candidate(detect.person_model), detect.person_threshold),
    }[target]
    threshold = own_threshold if request.threshold is None else request.threshold
    privacy = settings.privacy.model_copy(update={"targets": (TargetName[target.name],)})
    policy = Policy(privacy, settings.redact)
    for candidate in request.candidates or (() if request.anonymized else (own,)):
        masking = make_detector(Order(candidate, target, threshold, detect.max_detections))
        curve = make_detector(Order(candidate, target, min(threshold, CURVE_FLOOR), CURVE_LIMIT))
        with contextlib.closing(masking), contextlib.closing(curve):
            masking.start()
            curve.start()
            trials = list(try_detector(dataset, masking, curve, policy, cpu_ns=time.process_time_ns))
        yield sum_up(str(candidate), target, trials, threshold)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written: {error.strerror}") from None
