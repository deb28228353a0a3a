"""Adds votes to detections: how much the clear faces of a frame resemble each enrolled person."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from anonymizer.clock import Clock
from anonymizer.errors import AnonymizerError, GalleryError, InvalidOutputError
from anonymizer.geometry import iou_matrix
from anonymizer.identify.embedder import ASYMMETRY, MOST_ASYMMETRY, FaceEmbedder, distances, look_at
from anonymizer.identify.gallery import Gallery, Person
from anonymizer.lifecycle import Resource
from anonymizer.ports import Detector, Meter
from anonymizer.types import F32, U8, Detections, Doubt, FaceVote, Frame, Likeness, Size, Target

log = logging.getLogger(__name__)

SURE_SCORE = 0.5  # least score of a face that is neither half hidden nor turned away
LEAST_SHARPNESS = 0.03  # variance of a chip's Laplacian by that of the chip; embeddings of blurrier faces are alike
SHARPNESS_PX = 64  # side to which a chip is scaled for that: about the height of the smallest faces
MOST_FACES = 4  # embedded in one frame; the others come first in the next one
REREAD_NS = 2_000_000_000  # between checks whether somebody was enrolled or removed
LOOKS_NS = 1_000_000_000  # for how long it is remembered where a face was embedded
RETRY_NS = 15_000_000_000  # between attempts to load an embedder that does not work
SAME_FACE_IOU = 0.3  # of the boxes of one face in two frames
EDGE_PX = 2.0  # a face so near the frame's edge may be cut off


@dataclass(frozen=True, slots=True)
class Demands:
    """Which faces are embedded, and how often."""

    least_face_px: float  # least height of a clear face
    smallest_px: float  # least height of a face whose votes can continue what clear ones began
    interval_ns: int  # between two votes about one face


@dataclass(frozen=True, slots=True)
class _Look:
    """Where and when a face was embedded."""

    box: F32  # (4,)
    pts_ns: int


class RecognisingDetector(Resource):
    """A detector that also votes on whose the faces of some cameras are; used by one thread.

    It only adds votes. Whatever fails here leads to votes for nobody, or to none, so that everybody is masked while
    detection goes on. Changes of the gallery are noticed within seconds.
    """

    def __init__(
        self,
        detector: Detector,
        embedder: FaceEmbedder,
        gallery: Gallery,
        *,
        model: str,
        cameras: Mapping[str, Sequence[str]],
        demands: Demands,
        clock: Clock,
        meter: Meter,
    ) -> None:
        """`model` names the embedder; only its templates count. `cameras`: by id, the people that settings name."""
        self._detector = detector
        self._embedder = embedder
        self._gallery = gallery
        self._model = model
        self._cameras = cameras
        self._demands = demands
        self._clock = clock
        self._meter = meter
        self._people: tuple[Person, ...] = ()
        self._stamp: tuple[int, int] | None = None
        self._reread_ns: int | None = None  # when to check the gallery again; None: at once
        self._retry_ns: int | None = None  # when to load the embedder again; None: it is loaded
        self._said = ""  # the newest complaint, so that it is logged once
        self._looks: dict[str, list[_Look]] = {}

    def start(self) -> None:
        """Load the detector's models; raises ModelError for those, never for the embedder."""
        self._detector.start()
        self._load()

    def detect(self, frame: Frame) -> Detections:
        """What the detector finds, with votes; raises what the detector raises."""
        found = self._detector.detect(frame)
        wanted = self._cameras.get(frame.camera_id)
        return found if wanted is None else dataclasses.replace(found, votes=self._votes(frame, found, wanted))

    def close(self) -> None:
        """Free all models; idempotent."""
        self._embedder.close()
        self._detector.close()

    def _votes(self, frame: Frame, found: Detections, wanted: Sequence[str]) -> tuple[FaceVote, ...]:
        chosen = self._due(frame, found)
        if not chosen:
            return ()
        now_ns = self._clock.now_ns()
        if self._reread_ns is None or now_ns >= self._reread_ns:
            self._reread_ns = now_ns + REREAD_NS
            self._reread()
        if self._retry_ns is not None and now_ns >= self._retry_ns:
            self._load()
        people = self._consenting(frame.camera_id, wanted)
        votes = (self._vote(frame, index, found.boxes[index], people) for index in chosen)
        return tuple(vote for vote in votes if vote is not None)

    def _due(self, frame: Frame, found: Detections) -> list[int]:
        """Rows of the clear faces that are due for a vote, those first that have waited longest; remembers them."""
        looks = [look for look in self._looks.get(frame.camera_id, []) if 0 <= frame.pts_ns - look.pts_ns <= LOOKS_NS]
        waited = {
            index: frame.pts_ns - _last_look(found.boxes[index], looks, frame.pts_ns - LOOKS_NS)
            for index in np.flatnonzero(self._is_clear(found, frame.size)).tolist()
        }
        due = [index for index, ns in waited.items() if ns >= self._demands.interval_ns]
        chosen = sorted(due, key=lambda index: -waited[index])[:MOST_FACES]
        self._looks[frame.camera_id] = looks + [_Look(found.boxes[index], frame.pts_ns) for index in chosen]
        return chosen

    def _is_clear(self, found: Detections, size: Size) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which detections (N,) are faces that are large and certain enough, and wholly in the frame."""
        x1, y1, x2, y2 = found.boxes.T
        is_inside = (x1 >= EDGE_PX) & (y1 >= EDGE_PX) & (x2 <= size.width - EDGE_PX) & (y2 <= size.height - EDGE_PX)
        is_large = y2 - y1 >= self._demands.smallest_px
        return np.asarray(
            is_inside & is_large & (found.class_ids == Target.FACE) & (found.scores >= SURE_SCORE), np.bool_
        )

    def _vote(self, frame: Frame, index: int, box: F32, people: Sequence[Person]) -> FaceVote | None:
        """The vote about a face; None if it is blurred or turned away."""
        x1, y1, x2, y2 = box.tolist()
        try:
            if self._retry_ns is not None:
                raise InvalidOutputError("the embedder is not loaded")
            chip = self._embedder.chip(frame.planes, frame.colour, (x1, y1, x2, y2))
            if sharpness(chip) < LEAST_SHARPNESS:
                return None
            look = look_at(chip, self._embedder)
        except Exception as error:  # noqa: BLE001 - fails closed: whatever goes wrong, the face is nobody's
            self._failed(frame.camera_id, error)
            return FaceVote(index, ())
        if look.asymmetry > MOST_ASYMMETRY:
            return None
        likenesses = tuple(_likeness(look.embedding, person) for person in people)
        is_large = y2 - y1 >= self._demands.least_face_px
        return FaceVote(index, likenesses, is_large and look.asymmetry <= ASYMMETRY)

    def _consenting(self, camera_id: str, wanted: Sequence[str]) -> tuple[Person, ...]:
        """Everybody whose consent holds today; people of the camera's settings who are missing are counted."""
        today = datetime.date.fromtimestamp(self._clock.wall_ns() / 1e9)
        consenting = tuple(person for person in self._people if person.consents(today))
        ended = {person.name for person in self._people} - {person.name for person in consenting}
        for name in set(wanted) - {person.name for person in consenting}:
            self._meter.recognition_refused(camera_id, Doubt.CONSENT_ENDED if name in ended else Doubt.NOT_ENROLLED)
        return consenting

    def _reread(self) -> None:
        """Read the gallery if its file has changed, or could not be read before."""
        stamp = self._gallery.stamp()
        if stamp is not None and stamp == self._stamp:
            return
        self._people, self._stamp = (), None
        try:
            self._people = tuple(person for person in self._gallery.people() if person.model == self._model)
            self._stamp = stamp
        except GalleryError as error:
            self._complain(f"nobody is recognised, everybody is masked: {error}")

    def _load(self) -> None:
        try:
            self._embedder.start()
            self._retry_ns = None
        except AnonymizerError as error:
            self._embedder.close()
            self._retry_ns = self._clock.now_ns() + RETRY_NS
            self._complain(f"the embedder could not be loaded, everybody is masked: {error}")

    def _failed(self, camera_id: str, error: Exception) -> None:
        self._meter.recognition_refused(camera_id, Doubt.EMBEDDER_FAILED)
        self._complain(f"a face could not be embedded and is masked: {type(error).__name__}: {error}")

    def _complain(self, text: str) -> None:
        if text != self._said:
            self._said = text
            log.warning("%s", text)


def sharpness(chip: U8) -> float:
    """The amount of fine detail in a chip (N, N, 3) RGB, independent of its contrast; 0: none."""
    small = cv2.resize(
        cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY), (SHARPNESS_PX, SHARPNESS_PX), interpolation=cv2.INTER_AREA
    )
    return float(cv2.Laplacian(small, cv2.CV_32F).var() / (float(small.var()) + 1.0))


def _last_look(box: F32, looks: Sequence[_Look], otherwise_ns: int) -> int:
    """PTS of the newest look at the face in a box; `otherwise_ns` if there was none."""
    same = [look.pts_ns for look in looks if iou_matrix(box[None], look.box[None]).item() >= SAME_FACE_IOU]
    return max(same, default=otherwise_ns)


def _likeness(embedding: F32, person: Person) -> Likeness:
    return Likeness(person.name, person.alias, float(distances(embedding, person.templates).min()))
