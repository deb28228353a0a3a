"""A small classifier that says whether and where somebody may be: presence and class activation map of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anonymizer.detect.delegates import Delegate
from anonymizer.detect.engine import Engine
from anonymizer.detect.letterbox import Fit, Letterboxer
from anonymizer.detect.loading import load
from anonymizer.detect.self_test import read_picture
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.lifecycle import Resource
from anonymizer.ports import Meter
from anonymizer.types import F32, HOT, Box, Colour, Heat, Planes, Size

MAP, SCORE = "map", "score"  # outputs: (1, rows, columns, 1) logits, (1, 1) probability


@dataclass(frozen=True, slots=True)
class AttentionTest:
    """What a loaded model must say about a picture with one person."""

    picture: Path
    box: Box  # x1 y1 x2 y2 as fractions of the picture; the hottest cell lies in it
    min_presence: float


@dataclass(frozen=True, slots=True)
class AttentionModel:
    """A model file and how to read it; the whole frame is stretched to its input."""

    name: str
    path: Path
    size: Size  # of the input
    mean: float  # a float input takes (RGB - mean) * scale
    scale: float
    hot_logit: float  # value of the map from which on a cell is hot
    bgr: bool = False  # the input takes blue first
    self_test: AttentionTest | None = None


class Attention(Resource):
    """One attention model; constructed anywhere, then used by one thread, restartable after `close()`."""

    def __init__(self, model: AttentionModel, *, threads: int, meter: Meter, delegate: Delegate | None = None) -> None:
        self.name = model.name
        self._model = model
        self._meter = meter
        self._engine = Engine(
            model.path, threads=threads, mean=model.mean, scale=model.scale, bgr=model.bgr, delegate=delegate
        )
        self._letterboxer = Letterboxer(model.size, Fit.STRETCH)

    def start(self) -> None:
        """Load the model and try it on a picture whose answer is known, else on a black one; raises ModelError."""
        load(self._engine, name=self.name, size=self._model.size, try_out=self._try_out, meter=self._meter)

    def look(self, planes: Planes, colour: Colour) -> Heat:
        """The heat of a picture.

        Raises InvalidOutputError when the output is suspect, ModelError when the runtime fails or is not started.
        """
        picture, _ = self._letterboxer.apply(planes, colour)
        return read_heat(self._engine.run(picture), self._model.hot_logit)

    def close(self) -> None:
        """Free the model; idempotent."""
        self._engine.close()

    def _try_out(self) -> None:
        test = self._model.self_test
        if test is None:
            size = self._model.size
            read_heat(self._engine.run(np.zeros((size.height, size.width, 3), np.uint8)), self._model.hot_logit)
            return
        heat = self.look(*read_picture(test.picture))
        rows, columns = heat.cells.shape
        row, column = divmod(int(heat.cells.argmax()), columns)
        x, y = (column + 0.5) / columns, (row + 0.5) / rows
        x1, y1, x2, y2 = test.box
        if heat.presence < test.min_presence or not (x1 <= x <= x2 and y1 <= y <= y2):
            raise ModelError(
                f"model {self.name} does not point at the person in {test.picture.name} (presence {heat.presence:.2f}, "
                f"{test.min_presence:g} promised): this processor or runtime computes it wrongly; try another runtime, "
                "or set detect.attention to off"
            )


def read_heat(outputs: Mapping[str, F32], hot_logit: float) -> Heat:
    """The heat from a model's outputs; raises InvalidOutputError for outputs that are missing, misshapen or not finite.

    Each cell is the sigmoid of its logit, shifted so that `hot_logit` becomes HOT.
    """
    try:
        logits, score = outputs[MAP], outputs[SCORE]
    except KeyError as error:
        raise InvalidOutputError(f"an attention model without the output {error}") from error
    if logits.ndim != 4 or logits.shape[0] != 1 or logits.shape[3] != 1 or not logits.size or score.size != 1:
        raise InvalidOutputError(f"an attention map of shape {logits.shape} with a score of shape {score.shape}")
    presence = float(score.item())
    if not np.isfinite(logits).all() or not 0.0 <= presence <= 1.0:
        raise InvalidOutputError("an attention map or score that is not finite or not a probability")
    shifted = np.clip(logits[0, :, :, 0] - np.float32(hot_logit), -30.0, 30.0)
    cells: F32 = (1.0 / (1.0 + np.exp(-shifted))).astype(np.float32)
    assert HOT == 0.5  # noqa: S101 - what the sigmoid makes of zero
    return Heat(cells, presence)
