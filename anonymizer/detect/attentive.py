"""A detector that searches first where an attention model sees somebody, and reports what attention saw."""

from __future__ import annotations

import dataclasses

from anonymizer.clock import Clock
from anonymizer.detect.attention import Attention
from anonymizer.detect.optional import OptionalModel
from anonymizer.detect.scout import Scout
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.lifecycle import Resource
from anonymizer.ports import Detector, Meter
from anonymizer.types import Detections, Frame, Heat

COMPLAINT = "attention does not work: %s; tiles take turns without it, cameras in mode strict are masked whole"


class AttentiveDetector(Resource):
    """Runs attention before the detector on the frames of some cameras; used by one thread.

    Attention can only add masks. When it fails, that is counted, logged once until it works again, and marked in the
    detections; tiles then take their turns without it, and what the detector finds is unchanged.
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
        """`cameras`: ids of those that attention looks at; `scout`: chooses the detector's tiles, if it has any."""
        self._detector = detector
        self._attention = attention
        self._cameras = cameras
        self._scout = scout
        self._meter = meter
        self._model = OptionalModel(attention, COMPLAINT, clock)

    def start(self) -> None:
        """Load the detector's models; raises ModelError for those, never for attention's."""
        self._detector.start()
        self._model.start()

    def detect(self, frame: Frame) -> Detections:
        """What the detector finds, with the heat of the frame; raises what the detector raises."""
        if frame.camera_id not in self._cameras:
            return self._detector.detect(frame)
        heat = self._look(frame)
        if self._scout is not None:
            self._scout.set_heat(frame.camera_id, heat)
        found = self._detector.detect(frame)
        return dataclasses.replace(found, heat=heat, attention_failed=heat is None)

    def close(self) -> None:
        """Free all models; idempotent."""
        self._model.close()
        self._detector.close()

    def _look(self, frame: Frame) -> Heat | None:
        if self._model.is_ready():
            try:
                heat = self._attention.look(frame.planes, frame.colour)
            except (InvalidOutputError, ModelError) as error:
                self._model.failed(error)
            else:
                self._model.worked()
                return heat
        self._meter.attention_failed(frame.camera_id)
        return None
