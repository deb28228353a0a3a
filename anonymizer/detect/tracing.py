"""A detector that also draws the silhouettes of the persons it found, where that is safe and there is time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from anonymizer.clock import Clock
from anonymizer.detect.optional import OptionalModel
from anonymizer.detect.silhouette import Silhouettist
from anonymizer.errors import InvalidOutputError, ModelError
from anonymizer.lifecycle import Resource
from anonymizer.ports import Detector, Meter
from anonymizer.types import F32, Detections, Frame, Silhouette, Target

COMPLAINT = "silhouettes cannot be drawn: %s; persons are masked by their boxes"
LEAST_HEIGHT_PX = 64  # of a person; smaller ones have no shape worth the time
APART = 0.05  # of a box's sides: so far apart are persons whose shapes a model can tell apart


class TracingDetector(Resource):
    """Adds silhouettes to the detections of some cameras; used by one thread.

    Silhouettes only ever spare background: whoever overlaps with somebody else, is small, beyond the budget, or has no
    trustworthy mask has none. When the model fails, that is said once until it works again, and nobody has one.
    """

    def __init__(
        self,
        detector: Detector,
        silhouettist: Silhouettist,
        *,
        cameras: frozenset[str],
        budget_ms: int,
        clock: Clock,
        meter: Meter,
    ) -> None:
        """`cameras` are those that show silhouettes; `budget_ms` is for all persons of one frame."""
        self._detector = detector
        self._silhouettist = silhouettist
        self._cameras = cameras
        self._budget_ns = budget_ms * 1_000_000
        self._clock = clock
        self._meter = meter
        self._model = OptionalModel(silhouettist, COMPLAINT, clock)

    def start(self) -> None:
        """Load the detector's models; raises ModelError for those, never for the silhouettes'."""
        self._detector.start()
        self._model.start()

    def detect(self, frame: Frame) -> Detections:
        """What the detector finds, with the silhouettes of persons; raises what the detector raises."""
        found = self._detector.detect(frame)
        if frame.camera_id not in self._cameras:
            return found
        silhouettes = tuple(self._draw(frame, found)) if self._model.is_ready() else ()
        persons = int((found.class_ids == Target.PERSON).sum())
        self._meter.silhouettes(frame.camera_id, drawn=len(silhouettes), boxes=persons - len(silhouettes))
        return dataclasses.replace(found, silhouettes=silhouettes)

    def close(self) -> None:
        """Free all models; idempotent."""
        self._model.close()
        self._detector.close()

    def _draw(self, frame: Frame, found: Detections) -> Iterator[Silhouette]:
        """The silhouettes of persons who stand alone, the tallest first, until the budget is spent."""
        begun_ns, longest_ns = self._clock.now_ns(), 0
        for x1, y1, x2, y2 in _alone(found.boxes[found.class_ids == Target.PERSON]).tolist():
            before_ns = self._clock.now_ns()
            if before_ns + longest_ns - begun_ns > self._budget_ns:
                return
            box = (x1, y1, x2, y2)
            try:
                outline = self._silhouettist.outline(frame.planes, frame.colour, box)
            except (InvalidOutputError, ModelError) as error:
                self._model.failed(error)
                return
            self._model.worked()
            longest_ns = max(longest_ns, self._clock.now_ns() - before_ns)
            if outline is not None:
                yield Silhouette(box, outline)


def _alone(boxes: F32) -> F32:
    """Those of the boxes (N, 4) that are tall enough and do not touch another one, the tallest first."""
    margins = np.float32(APART) * (boxes[:, 2:] - boxes[:, :2])
    low, high = boxes[:, :2] - margins, boxes[:, 2:] + margins
    touch = ((low[:, None] < high[None]) & (low[None] < high[:, None])).all(axis=2)
    heights = boxes[:, 3] - boxes[:, 1]
    alone = np.flatnonzero((touch.sum(axis=1) == 1) & (heights >= LEAST_HEIGHT_PX))
    chosen: F32 = boxes[alone[np.argsort(-heights[alone], kind="stable")]]
    return chosen
