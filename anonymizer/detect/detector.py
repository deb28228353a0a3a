"""Frames in, detections out: letterbox, engine, family and suppression put together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from anonymizer.clock import Clock
from anonymizer.detect.daylight import bring_out
from anonymizer.detect.delegates import Delegate
from anonymizer.detect.engine import Engine
from anonymizer.detect.families import SHORT_LISTS, Candidates, Family, make_family
from anonymizer.detect.letterbox import Fit, Letterboxer
from anonymizer.detect.limits import Limits
from anonymizer.detect.loading import load
from anonymizer.detect.scout import Scout
from anonymizer.detect.self_test import SelfTest, read_picture
from anonymizer.detect.tiles import Sighting, Tile, merged, sighted
from anonymizer.errors import ModelError
from anonymizer.lifecycle import Resource
from anonymizer.ports import Detector, Meter
from anonymizer.types import Detections, Frame, Size, Target

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DetectorModel:
    """A model file and how to read it."""

    name: str
    path: Path
    family: str
    targets: tuple[Target | None, ...]  # what the columns of the score mean; None: not looked for
    size: Size  # of the input
    fit: Fit
    mean: float  # a float input takes (RGB - mean) * scale
    scale: float
    bgr: bool = False  # the input takes blue first
    self_test: SelfTest | None = None  # what the model must find when it is loaded; None: nothing to compare with


class TfliteDetector(Resource):
    """One model as a `Detector`; constructed anywhere, then used by one thread, restartable after `close()`."""

    def __init__(
        self,
        model: DetectorModel,
        limits: Limits,
        *,
        threads: int,
        clock: Clock,
        meter: Meter,
        delegate: Delegate | None = None,
        scout: Scout | None = None,
        strict: frozenset[str] = frozenset(),
        on_model_ns: Callable[[str, int], None] | None = None,
    ) -> None:
        """Without a delegate XNNPACK computes. `scout` names tiles to look at besides the whole frame, None: no tiles.

        In the frames of `strict` cameras half the score is enough at most. `on_model_ns` is told the model's name and
        wall time after each frame.
        """
        self._model = model
        # A list that is full of faint ones may lack others, and then the frame is masked whole.
        self._limits = replace(limits, is_flat=limits.is_flat or model.family in SHORT_LISTS)
        self._clock = clock
        self._meter = meter
        self._scout = scout
        self._strict = strict
        self._on_model_ns = on_model_ns
        self._delegate = delegate or Delegate()
        self._engine = Engine(
            model.path, threads=threads, mean=model.mean, scale=model.scale, bgr=model.bgr, delegate=self._delegate
        )
        self._letterboxer = Letterboxer(model.size, model.fit)
        self._tile_letterboxer = Letterboxer(model.size, model.fit)
        self._look_ns = 0  # wall time of one look, smoothed
        self._family: Family | None = None

    def start(self) -> None:
        """Load the model and try it on a picture whose answer is known, else on a black one; raises ModelError."""
        family = make_family(self._model.family, self._model.size, self._model.targets)
        engine, model = self._engine, self._model
        self._family = None
        load(engine, name=model.name, size=model.size, try_out=lambda: self._try_out(family), meter=self._meter)
        self._family = family
        if engine.delegate_fault is not None:
            self._meter.delegate_fallback(self._model.name, self._delegate.name)
            log.warning("model %s runs on the CPU: %s", self._model.name, engine.delegate_fault)

    def _try_out(self, family: Family) -> None:
        test = self._model.self_test
        if test is None:
            black = np.zeros((self._model.size.height, self._model.size.width, 3), np.uint8)
            family.decode(self._engine.run(black), self._limits.floor(is_faint=False, is_strict=False))
            return
        planes, colour = read_picture(test.picture)
        picture, placement = self._letterboxer.apply(planes, colour)
        found = family.decode(self._engine.run(picture), test.min_score)
        in_source = Candidates(placement.to_source(found.boxes), found.scores, found.class_ids)
        test.judge(self._model.name, in_source, planes.size)

    def detect(self, frame: Frame) -> Detections:
        """Boxes in source pixels, clipped, none without area, by falling score.

        Raises InvalidOutputError when the output is suspect, ModelError when the runtime fails or is not started.
        """
        if self._family is None:
            raise ModelError(f"model {self._model.name} is not loaded: call start() first")
        begun_ns = self._clock.now_ns()
        sightings = [self._look(self._family, frame, Tile.whole(frame.size), self._letterboxer)]
        if self._scout is not None:
            sightings += self._look_at_tiles(self._family, frame, self._scout)
        found = merged(sightings, iou=self._limits.nms_iou, max_detections=self._limits.max_detections)
        if self._on_model_ns is not None:
            self._on_model_ns(self._model.name, self._clock.now_ns() - begun_ns)
        return Detections(
            camera_id=frame.camera_id,
            seq=frame.seq,
            epoch=frame.epoch,
            boxes=found.boxes,
            scores=found.scores,
            class_ids=found.class_ids,
            model=self._model.name,
        )

    def close(self) -> None:
        """Free the model; idempotent."""
        self._family = None
        self._engine.close()

    def _look(self, family: Family, frame: Frame, tile: Tile, letterboxer: Letterboxer) -> Sighting:
        """Everything that the model sees in a tile, duplicates included."""
        begun_ns = self._clock.now_ns()
        picture, placement = letterboxer.apply(tile.crop(frame.planes), frame.colour)
        is_faint = bring_out(picture, placement, self._model.targets)
        is_strict = frame.camera_id in self._strict
        seen = family.decode(self._engine.run(picture), self._limits.floor(is_faint=is_faint, is_strict=is_strict))
        found = self._limits.counted(seen, is_faint=is_faint, is_strict=is_strict)
        took_ns = self._clock.now_ns() - begun_ns
        self._look_ns = (7 * self._look_ns + took_ns) // 8 if self._look_ns else took_ns
        return sighted(found, placement, tile, frame.size)

    def _look_at_tiles(self, family: Family, frame: Frame, scout: Scout) -> Iterator[Sighting]:
        for tile in scout.tiles(frame, self._look_ns):
            seen = self._look(family, frame, tile, self._tile_letterboxer)
            scout.found(frame.camera_id, tile, something=len(seen) > 0)
            yield seen


class CompositeDetector(Resource):
    """Several detectors as one: each sees every frame, the results are joined."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._detectors = tuple(detectors)

    def start(self) -> None:
        """Start all or none; raises ModelError, also when there is no detector at all."""
        if not self._detectors:
            raise ModelError("no detector is configured, so nobody would be found: name a model in the section detect")
        with ExitStack() as undo:
            for detector in self._detectors:
                undo.callback(detector.close)
                detector.start()
            undo.pop_all()

    def detect(self, frame: Frame) -> Detections:
        """All boxes of all detectors; raises what any of them raises."""
        parts = [detector.detect(frame) for detector in self._detectors]
        return Detections(
            camera_id=frame.camera_id,
            seq=frame.seq,
            epoch=frame.epoch,
            boxes=np.concatenate([part.boxes for part in parts]),
            scores=np.concatenate([part.scores for part in parts]),
            class_ids=np.concatenate([part.class_ids for part in parts]),
            model="+".join(part.model for part in parts),
        )

    def close(self) -> None:
        """Free all models; idempotent."""
        for detector in self._detectors:
            detector.close()
