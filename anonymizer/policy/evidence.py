"""What is known about one frame when its fate is decided, and whether that is enough to show any of it."""

from __future__ import annotations

import itertools
import logging
import math
from dataclasses import dataclass

import numpy as np

from anonymizer.policy.ledger import Standing
from anonymizer.types import Detections, Reason, Size, Target, Track

log = logging.getLogger(__name__)

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about one frame."""

    seq: int
    size: Size
    suspect: bool  # of the frame
    detections: Detections | None  # of exactly this frame
    later: Detections | None  # of a newer frame, when this one was superseded and never ran
    tracks: tuple[Track, ...]  # predicted for this frame
    detection_age_ns: int | None  # distance to the nearest frame with a detection; None: none yet in this epoch
    fault: Reason | None  # INFERENCE_FAILED, INVALID_OUTPUT, CAMERA_CHANGED, CAMERA_MOVED
    unexplained: tuple[Box, ...] = ()  # where attention sees somebody whom nothing else explains, source pixels
    standings: tuple[Standing, ...] = ()  # of faces among the tracks that have votes for staying visible
    growth: float = 0.0  # fraction of their sides by which `later` and `tracks` are wider on each side than was found

    @property
    def found(self) -> tuple[Detections, ...]:
        """The detections there are, of this frame or of the newer one."""
        return tuple(each for each, _ in self.widened)

    @property
    def widened(self) -> tuple[tuple[Detections, float], ...]:
        """The same, each with the fraction of their sides by which its boxes are wider than was found."""
        both = ((self.detections, 0.0), (self.later, self.growth))
        return tuple((each, growth) for each, growth in both if each is not None)


def doubt(evidence: Evidence, max_age_ns: int, *, strict: bool) -> Reason | None:
    """Why nothing but a whole-frame mask is safe, the gravest reason first; None if there is no such reason.

    `strict` also doubts a frame that rests on tracks alone, and one that attention was to look at and could not.
    """
    if evidence.suspect:
        return Reason.SUSPECT_DECODE
    if evidence.fault is not None:
        return evidence.fault
    if evidence.detection_age_ns is None:
        return Reason.STARTING
    if evidence.detections is None and abs(evidence.detection_age_ns) > max_age_ns:
        return Reason.STALE
    if not all(map(_is_possible, evidence.found)):
        return Reason.INVALID_OUTPUT
    if evidence.detections is not None and evidence.detections.seq != evidence.seq:
        log.error("detections of frame %d came as those of frame %d", evidence.detections.seq, evidence.seq)
        return Reason.POLICY_FAILED
    places = [*evidence.unexplained, *((*track.box, *track.spread_px, track.excess_px) for track in evidence.tracks)]
    if not all(map(math.isfinite, itertools.chain.from_iterable(places))):  # a tenth of the time that arrays take
        log.error("tracks or attention of frame %d are not finite; masking it whole", evidence.seq)
        return Reason.POLICY_FAILED
    if strict and not evidence.found:
        return Reason.STALE
    if strict and any(found.attention_failed for found in evidence.found):
        return Reason.ATTENTION_FAILED
    return None


def _is_possible(found: Detections) -> bool:
    """Whether boxes are finite and not inside out, and every class is known."""
    return bool(
        np.isfinite(found.boxes).all()
        and (found.boxes[:, :2] <= found.boxes[:, 2:]).all()
        and (found.class_ids >= 0).all()
        and (found.class_ids < len(Target)).all()
        and all(np.isfinite(silhouette.outline).all() for silhouette in found.silhouettes)
    )
