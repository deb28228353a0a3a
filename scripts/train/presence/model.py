"""Runs an exported classifier, and judges it on labelled pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anonymizer.detect.engine import Engine
from anonymizer.errors import ModelError
from anonymizer.types import U8
from scripts.train.picture import Picture
from scripts.train.presence.fitted import fitted
from scripts.train.presence.judge import Answer, Verdict, judge
from scripts.train.presence.sheet import draw

SCORE, MAP = "score", "map"


class PresenceModel(Engine):
    """A file with the outputs `score` (1, 1) and `map` (1, h, w, 1); used by one thread."""

    def __init__(self, path: Path, *, mean: float = 0.0, threads: int = 1) -> None:
        """`mean` is taken off the pixels: 0 for models made here."""
        super().__init__(path, threads=threads, mean=mean, scale=1.0)

    def answer(self, rgb: U8) -> Answer:
        """For one picture (H, W, 3) of `input_size`; raises ModelError."""
        outputs = self.run(rgb)
        if MAP not in outputs or SCORE not in outputs:
            raise ModelError(f"a presence model has the outputs {MAP} and {SCORE}, this one {', '.join(outputs)}")
        return Answer(float(outputs[SCORE][0, 0]), outputs[MAP][0, :, :, 0])


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A model on a set."""

    verdict: Verdict
    drawn: tuple[U8, ...]  # the pictures with map, people and score
    cpu_ms: float  # median a picture, score and map


def try_model(model: PresenceModel, pictures: Sequence[Picture]) -> Trial:
    """Each picture fitted into the started model's input; pictures without boxes show nobody. Raises ModelError."""
    size = model.input_size
    answers, people, drawn, spent_ns = [], [], [], []
    for picture in pictures:
        canvas, boxes = fitted(picture, size.width, size.height)
        before_ns = time.process_time_ns()
        answers.append(model.answer(canvas))
        spent_ns.append(time.process_time_ns() - before_ns)
        people.append(boxes)
        drawn.append(draw(canvas, boxes, answers[-1]))
    return Trial(judge(answers, people), tuple(drawn), float(np.median(spent_ns)) / 1e6 if spent_ns else 0.0)
