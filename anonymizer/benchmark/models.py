"""Wall and CPU time of every model of the zoo, by number of threads."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from anonymizer.benchmark.recommend import DetectCost
from anonymizer.benchmark.stages import quiet_meter
from anonymizer.clock import SystemClock
from anonymizer.detectors import make_detector
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.settings.schema import DetectSettings, TargetName
from anonymizer.types import Frame, Target
from anonymizer.zoo import Zoo

_LEAST_RUNS, _MOST_RUNS = 3, 50


@dataclass(frozen=True, slots=True)
class CannotRun:
    """A model that does not work here."""

    model: str
    reason: str


def time_models(
    settings: DetectSettings, frame: Frame, *, thread_counts: Sequence[int], budget_s: float
) -> Iterator[DetectCost | CannotRun]:
    """From the frame's planes to boxes: letterbox, inference, decoding, suppression.

    The budget is shared evenly; models that are too slow for their share exceed it, because they run a few times.
    """
    zoo = Zoo(settings.models_dir)
    share_s = budget_s / (len(zoo.names()) * len(thread_counts))
    for name in zoo.names():
        try:
            for threads in thread_counts:
                yield _time_model(settings, zoo, name, frame, threads, share_s)
        except (ModelError, InvalidOutputError) as error:
            yield CannotRun(name, str(error))


def _time_model(
    settings: DetectSettings, zoo: Zoo, name: str, frame: Frame, threads: int, share_s: float
) -> DetectCost:
    spec = zoo.spec(name)
    target = TargetName.FACE if spec.target is Target.FACE else TargetName.PERSON
    update = {f"{target}_model": name, "threads": threads}
    clock = SystemClock()
    detector = make_detector(settings.model_copy(update=update), frozenset({target}), clock=clock, meter=quiet_meter())
    walls_ms: list[float] = []
    with detector:
        detector.detect(frame)
        until_ns = clock.now_ns() + round(share_s * 1e9)
        cpu_began_ns = time.process_time_ns()
        while len(walls_ms) < _LEAST_RUNS or (clock.now_ns() < until_ns and len(walls_ms) < _MOST_RUNS):
            began_ns = clock.now_ns()
            detector.detect(frame)
            walls_ms.append((clock.now_ns() - began_ns) / 1e6)
        cpu_ms = (time.process_time_ns() - cpu_began_ns) / 1e6 / len(walls_ms)
    return DetectCost(name, spec.target, str(spec.input.dtype), threads, statistics.median(walls_ms), cpu_ms)
