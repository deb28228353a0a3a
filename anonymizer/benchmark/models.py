"""Measures wall and CPU time of every model of the zoo, by number of threads and with tiles."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from anonymizer.benchmark.recommend import DetectCost
from anonymizer.benchmark.stages import quiet_meter
from anonymizer.clock import SystemClock
from anonymizer.detect.reach import TilePlan, plan_tiles
from anonymizer.detect.scout import Reach
from anonymizer.detectors import face_eye, make_detector
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.settings.schema import DetectSettings, TargetName
from anonymizer.types import Frame, Target
from anonymizer.zoo import Zoo

REACHES_PX = (64, 48, 32, 24, 16, 12)  # heights of the smallest faces that are planned for
_LEAST_RUNS, _MOST_RUNS = 3, 50
_TILED_RUNS = 2
_ANY_MS = 3_600_000  # no camera waits for these detections


@dataclass(frozen=True, slots=True)
class CannotRun:
    """A model that does not work here."""

    model: str
    reason: str


def time_models(
    settings: DetectSettings, frame: Frame, *, thread_counts: Sequence[int], budget_s: float
) -> Iterator[DetectCost | CannotRun]:
    """The cost of every model from planes to boxes: letterbox, inference, decoding and NMS.

    The budget is shared evenly; slow models exceed their share, because each runs a few times at least.
    """
    zoo = Zoo(settings.models_dir)
    share_s = budget_s / (len(zoo.detectors.names()) * len(thread_counts))
    for name in zoo.detectors.names():
        try:
            for threads in thread_counts:
                yield _time_model(settings, zoo, name, frame, threads, share_s)
        except (ModelError, InvalidOutputError) as error:
            yield CannotRun(name, str(error))


def time_tiles(
    settings: DetectSettings, frame: Frame, face_models: Iterable[DetectCost], *, budget_s: float
) -> Iterator[DetectCost]:
    """The cost of searching the frame in tiles, for ever smaller faces while each model's share of the budget lasts.

    Models without min_face_px in the manifest are left out.
    """
    zoo, models = Zoo(settings.models_dir), list(face_models)
    for cost in models:
        spec = zoo.detectors.spec(cost.model)
        if spec.min_face_px is None:
            continue
        tried = {0}
        left_s = budget_s / len(models)
        for reach_px in REACHES_PX:
            plan = plan_tiles(frame.size, face_eye(spec), reach_px)
            expected_s = plan.inferences * cost.wall_ms / 1000
            if len(plan.tiles) in tried or expected_s > left_s:
                continue
            tried.add(len(plan.tiles))
            yield _time_model(settings, zoo, cost.model, frame, cost.threads, 0.0, plan)
            left_s -= (1 + _TILED_RUNS) * expected_s


def _time_model(
    settings: DetectSettings,
    zoo: Zoo,
    name: str,
    frame: Frame,
    threads: int,
    share_s: float,
    plan: TilePlan | None = None,
) -> DetectCost:
    spec = zoo.detectors.spec(name)
    target = TargetName.FACE if spec.target is Target.FACE else TargetName.PERSON
    update = {f"{target}_model": name, "threads": threads, "budget_ms": None}
    clock = SystemClock()
    reaches = {} if plan is None else {frame.camera_id: Reach(plan.reach_px, _ANY_MS, _ANY_MS)}
    detector = make_detector(
        settings.model_copy(update=update), frozenset({target}), reaches=reaches, clock=clock, meter=quiet_meter()
    )
    least = _LEAST_RUNS if plan is None else _TILED_RUNS
    walls_ms: list[float] = []
    with detector:
        detector.detect(frame)
        until_ns = clock.now_ns() + round(share_s * 1e9)
        cpu_began_ns = time.process_time_ns()
        while len(walls_ms) < least or (clock.now_ns() < until_ns and len(walls_ms) < _MOST_RUNS):
            began_ns = clock.now_ns()
            detector.detect(frame)
            walls_ms.append((clock.now_ns() - began_ns) / 1e6)
        cpu_ms = (time.process_time_ns() - cpu_began_ns) / 1e6 / len(walls_ms)
    if plan is None and spec.min_face_px is not None:
        plan = plan_tiles(frame.size, face_eye(spec), frame.size.height)
    return DetectCost(
        name,
        spec.target,
        str(spec.input.dtype),
        threads,
        statistics.median(walls_ms),
        cpu_ms,
        tiles=0 if plan is None else len(plan.tiles),
        reach_px=None if plan is None else plan.reach_px,
        input_px=spec.input.width * spec.input.height,
    )
