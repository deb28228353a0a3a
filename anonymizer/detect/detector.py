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
from anonymizer.detect.forms import form_for
from anonymizer.detect.glance import glance_size, made_small
from anonymizer.detect.letterbox import Fit, Letterboxer
from anonymizer.detect.limits import Limits
from anonymizer.detect.loading import load
from anonymizer.detect.scout import Scout
from anonymizer.detect.self_test import SelfTest, read_picture
from anonymizer.detect.tiles import Sighting, Tile, merged, sighted
from anonymizer.errors import ModelError
from anonymizer.lifecycle import Resource
from anonymizer.ports import Detector, Meter
from anonymizer.types import U8, Detections, Frame, Size, Target

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
    has_forms: bool = False  # its file can be made anew for an input of any size
    self_test: SelfTest | None = None  # what the model must find when it is loaded; None: nothing to compare with


@dataclass(frozen=True, slots=True)
class _View:
    """The model for one form of its input."""

    engine: Engine
    family: Family
    letterboxer: Letterboxer
    small: _View | None = None  # for a second look at who is near


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
        self._threads = threads
        self._tile_letterboxer = Letterboxer(model.size, model.fit)
        self._look_ns = 0  # wall time of one look, smoothed
        self._views: dict[Size, _View] = {}  # by the size of the input; the model's own is the first

    def start(self) -> None:
        """Load the model and try it on a picture whose answer is known, else on a black one; raises ModelError."""
        self.close()
        self._views[self._model.size] = self._load(self._model.size)

    def _load(self, size: Size) -> _View:
        """The model with an input for whole pictures of that size, tried, and with the small one; raises ModelError."""
        view = self._load_one(size)
        if self._limits.near_share is None or not self._model.has_forms:
            return view
        return replace(view, small=self._load_one(glance_size(size)))

    def _load_one(self, size: Size) -> _View:
        model = self._model
        engine = Engine(
            model.path,
            threads=self._threads,
            mean=model.mean,
            scale=model.scale,
            bgr=model.bgr,
            delegate=self._delegate,
            size=size if model.has_forms else None,
        )
        view = _View(engine, make_family(model.family, size, model.targets), Letterboxer(size, model.fit))
        load(engine, name=model.name, size=size, try_out=lambda: self._try_out(view, size), meter=self._meter)
        if engine.delegate_fault is not None:
            self._meter.delegate_fallback(model.name, self._delegate.name)
            log.warning("model %s runs on the CPU: %s", model.name, engine.delegate_fault)
        return view

    def _view_of(self, picture: Size) -> _View:
        """The model in the form that suits a picture, in its own where that one cannot be had; loaded when needed."""
        own = self._model.size
        size = form_for(picture, own) if self._model.has_forms else own
        if size not in self._views:
            try:
                self._views[size] = self._load(size)
                log.info("model %s sees pictures of %s at %s instead of %s", self._model.name, picture, size, own)
            except ModelError as error:
                self._views[size] = self._views[own]
                told = "model %s sees pictures of %s at %s, not larger at %s: %s"
                log.warning(told, self._model.name, picture, own, size, error)
        return self._views[size]

    def _try_out(self, view: _View, size: Size) -> None:
        test = self._model.self_test
        if test is None:
            black = np.zeros((size.height, size.width, 3), np.uint8)
            view.family.decode(view.engine.run(black), self._limits.floor(is_faint=False, is_strict=False))
            return
        planes, colour = read_picture(test.picture)
        picture, placement = view.letterboxer.apply(planes, colour)
        found = view.family.decode(view.engine.run(picture), test.min_score)
        in_source = Candidates(placement.to_source(found.boxes), found.scores, found.class_ids)
        test.judge(self._model.name, in_source, planes.size)

    def detect(self, frame: Frame) -> Detections:
        """Boxes in source pixels, clipped, none without area, by falling score.

        Raises InvalidOutputError when the output is suspect, ModelError when the runtime fails or is not started.
        """
        if not self._views:
            raise ModelError(f"model {self._model.name} is not loaded: call start() first")
        view = self._view_of(frame.size)
        begun_ns = self._clock.now_ns()
        sightings = [self._look(view, frame, Tile.whole(frame.size))]
        if self._scout is not None:
            sightings += self._look_at_tiles(frame, self._scout)
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
        for view in self._views.values():
            for each in (view, view.small):
                if each is not None:
                    each.engine.close()
        self._views = {}

    def _look(self, view: _View, frame: Frame, tile: Tile) -> Sighting:
        """Everything that the model sees in a tile, duplicates included."""
        begun_ns = self._clock.now_ns()
        picture, placement = view.letterboxer.apply(tile.crop(frame.planes), frame.colour)
        is_faint = bring_out(picture, placement, self._model.targets)
        is_strict = frame.camera_id in self._strict
        seen = view.family.decode(view.engine.run(picture), self._limits.floor(is_faint=is_faint, is_strict=is_strict))
        found = self._limits.counted(seen, is_faint=is_faint, is_strict=is_strict)
        took_ns = self._clock.now_ns() - begun_ns
        self._look_ns = (7 * self._look_ns + took_ns) // 8 if self._look_ns else took_ns
        if view.small is not None:
            floor = self._limits.near_floor(is_faint=is_faint, is_strict=is_strict)
            found = found.with_others(self._near(view.small, picture, placement.inner, floor))
        return sighted(found, placement, tile, frame.size)

    def _near(self, small: _View, picture: U8, inner: Size, threshold: float) -> Candidates:
        """Who is near in a model input (H, W, 3) of which the camera's picture covers `inner`."""
        made, box = made_small(picture, inner, small.engine.input_size)
        seen = small.family.decode(small.engine.run(made), threshold)
        return self._limits.near(Candidates(box.to_source(seen.boxes), seen.scores, seen.class_ids), inner)

    def _look_at_tiles(self, frame: Frame, scout: Scout) -> Iterator[Sighting]:
        # tiles have buffers of their own, and nobody is near in them
        view = replace(self._views[self._model.size], letterboxer=self._tile_letterboxer, small=None)
        for tile in scout.tiles(frame, self._look_ns):
            seen = self._look(view, frame, tile)
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
