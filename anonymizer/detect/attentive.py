"""A detector that is told by attention where to look first, and reports what attention saw."""

from __future__ import annotations

import dataclasses
import logging

from anonymizer.clock import Clock
from anonymizer.detect.attention import Attention
from anonymizer.detect.scout import Scout
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.lifecycle import Resource
from anonymizer.ports import Detector, Meter
from anonymizer.types import Detections, Frame, Heat

log = logging.getLogger(__name__)

RETRY_NS = 15_000_000_000  # between attempts to load a model that does not work


class AttentiveDetector(Resource):
    """Looks at the frames of some cameras with attention before the detector does; used by one thread.

    Attention only ever adds: when it fails, that is counted, said once until it works again, and marked in the
    detections; tiles then take their turns without it, and the detector's own answer is unchanged.
    """

    def __init__(
        self,
        detector: Detector,
        attention: Attention,
        *,
        cameras: frozenset[str],
        scout: Scout | None,
        clock: Clock,
        meter: Meter,
    ) -> None:
        """`cameras` are those whose frames attention looks at; `scout` shares out their tiles, None: there are none."""
        self._detector = detector
        self._attention = attention
        self._cameras = cameras
        self._scout = scout
        self._clock = clock
        self._meter = meter
        self._is_loaded = False
        self._failing = False
        self._retry_ns: int | None = None  # when to try loading again; None: at once

    def start(self) -> None:
        """Load the detector's models; raises ModelError for those, never for attention's."""
        self._detector.start()
        self._load()

    def detect(self, frame: Frame) -> Detections:
        """What the detector finds, with the heat of the frame; raises what the detector raises."""
        if frame.camera_id not in self._cameras:
            return self._detector.detect(frame)
        heat = self._look(frame)
        if self._scout is not None:
            self._scout.heed(frame.camera_id, heat)
        found = self._detector.detect(frame)
        return dataclasses.replace(found, heat=heat, attention_failed=heat is None)

    def close(self) -> None:
        """Free all models; idempotent."""
        self._is_loaded = False
        self._attention.close()
        self._detector.close()

    def _look(self, frame: Frame) -> Heat | None:
        if not self._is_loaded and (self._retry_ns is None or self._clock.now_ns() >= self._retry_ns):
            self._load()
        heat = None
        if self._is_loaded:
            try:
                heat = self._attention.look(frame.planes, frame.colour)
            except InvalidOutputError as error:
                self._failed(error)
            except ModelError as error:
                self._unload(error)
            else:
                self._failing = False
        if heat is None:
            self._meter.attention_failed(frame.camera_id)
        return heat

    def _load(self) -> None:
        try:
            self._attention.start()
        except ModelError as error:
            self._unload(error)
        else:
            self._is_loaded = True

    def _unload(self, error: ModelError) -> None:
        """Give the model up until the next attempt."""
        self._is_loaded = False
        self._attention.close()
        self._retry_ns = self._clock.now_ns() + RETRY_NS
        self._failed(error)

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            log.warning(
                "attention does not work: %s; tiles take turns without it, cameras in mode strict are masked whole",
                error,
            )
