"""Runs a whole benchmark in about a minute, without a network."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2

from anonymizer.benchmark.film import portraits_film
from anonymizer.benchmark.models import time_models, time_tiles
from anonymizer.benchmark.recommend import PRESETS, DetectCost, Device, Wish, recommend, siblings
from anonymizer.benchmark.report import Report
from anonymizer.benchmark.stages import ENCODE, LETTERBOX, StageCosts, frames_of, measure_stages, quiet_meter
from anonymizer.clock import SystemClock
from anonymizer.detect.engine import runtime_name
from anonymizer.detectors import make_detector
from anonymizer.encode.choose import choose_codec
from anonymizer.settings.schema import Preset, Settings, TargetName
from anonymizer.types import Detections, Frame, Target

MODELS_BUDGET_S = 30.0
TILES_BUDGET_S = 20.0
FRAMES = 45
_THREAD_COUNTS = (1, 2, 4)


def benchmark(
    settings: Settings,
    wish: Wish,
    *,
    models_budget_s: float = MODELS_BUDGET_S,
    tiles_budget_s: float = TILES_BUDGET_S,
    frames: int = FRAMES,
) -> Report:
    """Measure models and stages for pictures of the wished size; raises an AnonymizerError."""
    cv2.setNumThreads(1)  # as the daemon does
    cores = len(os.sched_getaffinity(0))
    counts = [count for count in _THREAD_COUNTS if count <= cores]
    codec = choose_codec(settings.encode)
    with tempfile.TemporaryDirectory(prefix="anonymizer-") as folder:
        film = Path(folder, "film.mp4")
        portraits_film(film, wish.size, Fraction(wish.fps).limit_denominator(1001), frames)
        frame = next(frames_of(film))
        models = tuple(time_models(settings.detect, frame, thread_counts=counts, budget_s=models_budget_s))
        choices = _choices(settings, tuple(cost for cost in models if isinstance(cost, DetectCost)))
        faces = [cost for cost in choices if cost.target is Target.FACE]
        tiles = tuple(time_tiles(settings.detect, frame, faces, budget_s=tiles_budget_s))
        found = _detect(settings, frame)
        stages: dict[Preset, StageCosts] = {}
        for preset in PRESETS:
            encode = settings.encode.model_copy(update={"preset": preset})
            stages[preset] = measure_stages(
                film,
                lambda frame: replace(found, seq=frame.seq),
                settings.model_copy(update={"encode": encode}),
                codec=codec,
            )
    device = Device(
        cores=cores,
        models=choices + tiles,
        frame_ms=min(_frame_ms(costs) for costs in stages.values()),
        encode_ms={preset: costs.cpu_ms[ENCODE] for preset, costs in stages.items()},
    )
    return Report(cores, runtime_name(), codec.name, models, tiles, stages, wish, recommend(device, wish))


def _choices(settings: Settings, models: tuple[DetectCost, ...]) -> tuple[DetectCost, ...]:
    """The configured models in every precision: which model to use is a question of accuracy, not of speed."""
    return siblings(settings.detect.face_model, models) + siblings(settings.detect.person_model, models)


def _frame_ms(costs: StageCosts) -> float:
    """Without the encoder, and without the letterbox, which the models' own time includes."""
    return sum(spent_ms for stage, spent_ms in costs.cpu_ms.items() if stage not in (ENCODE, LETTERBOX))


def _detect(settings: Settings, frame: Frame) -> Detections:
    targets = frozenset({TargetName.FACE, TargetName.PERSON})
    with make_detector(settings.detect, targets, clock=SystemClock(), meter=quiet_meter()) as detector:
        return detector.detect(frame)
