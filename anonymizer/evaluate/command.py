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


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure; None or empty means the default."""

    dataset: Path
    pictures: Path | None = None  # their folder, if it is not beside the labels
    target: Target | None = None  # None: the only one that is labelled
    limit: int | None = None  # pictures
    models: tuple[str, ...] = ()  # empty: the one of the settings, unless another tool's pictures are measured
    threshold: float | None = None  # None: that of the settings
    anonymized: Path | None = None  # another tool's pictures
    fill: tuple[int, int, int] = (255, 0, 255)  # B, G, R of that tool's masks
    json: Path | None = None
    picture: Path | None = None


# A model's name, what it must find and the least score it reports: a detector, not started; raises ModelError.
MakeDetector = Callable[[str, Target, float], Detector]


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
    own_model, own_threshold = {
        Target.FACE: (detect.face_model, detect.face_threshold),
        Target.PERSON: (detect.person_model, detect.person_threshold),
    }[target]
    threshold = own_threshold if request.threshold is None else request.threshold
    privacy = settings.privacy.model_copy(update={"targets": (TargetName[target.name],)})
    policy = Policy(privacy, settings.redact)
    for name in request.models or (() if request.anonymized else (own_model,)):
        with contextlib.closing(make_detector(name, target, min(threshold, CURVE_FLOOR))) as detector:
            detector.start()
            trials = list(try_detector(dataset, detector, policy, threshold=threshold, cpu_ns=time.process_time_ns))
        yield sum_up(name, target, trials, threshold)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written: {error.strerror}") from None
