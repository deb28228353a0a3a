"""The command `anonymizer evaluate detect`: data set in, tables, JSON, picture and galleries out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2

from anonymizer.errors import DatasetError
from anonymizer.evaluate.chart import draw
from anonymizer.evaluate.compare import RESAMPLES, Contender, compare
from anonymizer.evaluate.dataset import Dataset, open_dataset
from anonymizer.evaluate.gallery import sheets
from anonymizer.evaluate.report import as_json, difference_table, text_table
from anonymizer.evaluate.scores import sum_up
from anonymizer.evaluate.trial import try_detector, try_pictures
from anonymizer.policy import Policy
from anonymizer.ports import Detector
from anonymizer.results import write_file, write_png
from anonymizer.settings.schema import Settings, TargetName
from anonymizer.types import Target

CURVE_FLOOR = 0.05  # least score that a curve is drawn from
CURVE_LIMIT = 5000  # detections that a curve may need in one picture


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model, and the smallest face that it is to find."""

    model: str
    reach_px: int | None = (
        None  # height of the smallest face, searched in tiles; None: only the whole frame is searched
    )

    def __str__(self) -> str:
        return self.model if self.reach_px is None else f"{self.model}@{self.reach_px}"


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure and where to write it; None or empty means the default."""

    dataset: Path
    pictures: Path | None = None  # their folder, if it is not beside the labels
    target: Target | None = None  # None: the only one that is labelled
    limit: int | None = None  # at most so many pictures
    candidates: tuple[Candidate, ...] = ()  # empty: the settings' model, unless another tool is measured
    threshold: float | None = None  # None: the settings', or else each model's own
    anonymized: Path | None = None  # folder of another tool's pictures
    fill: tuple[int, int, int] = (255, 0, 255)  # B, G, R of that tool's masks
    json: Path | None = None
    picture: Path | None = None
    gallery: Path | None = None  # folder
    resamples: int = RESAMPLES  # of the pictures, for the intervals of differences
    seed: int = 0


@dataclass(frozen=True, slots=True)
class WantedDetector:
    """A detector that is needed for a measurement."""

    candidate: Candidate
    target: Target
    threshold: float
    max_detections: int
    is_flat: bool  # True: the threshold is the same at every height; False: as in the daemon


MakeDetector = Callable[[WantedDetector], Detector]  # not started; raises ModelError


def evaluate(
    request: Request, settings: Settings, make_detector: MakeDetector, own_threshold: Callable[[str], float]
) -> str:
    """Measure, write the files that were asked for, and return the tables; raises an AnonymizerError.

    The others are compared with the first model, or with the other tool if one is measured. `own_threshold` gives the
    threshold in the manifest of the model of that name.
    """
    cv2.setNumThreads(1)
    dataset = open_dataset(request.dataset, request.target, request.pictures).spread(request.limit)
    first, *others = contenders = list(_contenders(request, dataset, settings, make_detector, own_threshold))
    scores = [sum_up(each.name, dataset.target, each.trials, each.threshold) for each in contenders]
    differences = [compare(each, first, resamples=request.resamples, seed=request.seed) for each in others]
    if request.json:
        write_file(request.json, as_json(scores, differences).encode())
    if request.picture:
        write_png(request.picture, draw(scores, differences))
    if request.gallery:
        _write_galleries(request.gallery, dataset, contenders)
    return "\n\n".join(filter(None, (text_table(scores), difference_table(differences))))


def _contenders(
    request: Request,
    dataset: Dataset,
    settings: Settings,
    make_detector: MakeDetector,
    own_threshold: Callable[[str], float],
) -> Iterator[Contender]:
    target = dataset.target
    if request.anonymized is not None:
        trials = tuple(try_pictures(dataset, request.anonymized, request.fill))
        yield Contender(request.anonymized.name, None, trials)
    detect = settings.detect
    configured, configured_threshold = {
        Target.FACE: (Candidate(detect.face_model, detect.reach_px), detect.face_threshold),
        Target.PERSON: (Candidate(detect.person_model), detect.person_threshold),
    }[target]
    asked = configured_threshold if request.threshold is None else request.threshold
    privacy = settings.privacy.model_copy(update={"targets": (TargetName[target.name],)})
    policy = Policy(privacy, settings.redact)
    for candidate in dict.fromkeys(request.candidates) or (() if request.anonymized else (configured,)):
        threshold = own_threshold(candidate.model) if asked is None else asked
        masking = make_detector(WantedDetector(candidate, target, threshold, detect.max_detections, is_flat=False))
        curve = make_detector(WantedDetector(candidate, target, min(threshold, CURVE_FLOOR), CURVE_LIMIT, is_flat=True))
        with contextlib.closing(masking), contextlib.closing(curve):
            masking.start()
            curve.start()
            trials = tuple(try_detector(dataset, masking, curve, policy, cpu_ns=time.process_time_ns))
        yield Contender(str(candidate), threshold, trials)


def _write_galleries(folder: Path, dataset: Dataset, contenders: Iterable[Contender]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be made: {error.strerror}") from None
    for contender in contenders:
        for heights, sheet in sheets(dataset.samples, contender):
            write_png(folder / f"{contender.name}_{heights}px.png", sheet)
