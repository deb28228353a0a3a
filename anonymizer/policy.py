"""Detections, tracks and health to a redaction plan: the one place that decides what is masked."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymizer.geometry import iou_matrix
from anonymizer.settings.schema import MaskSettings, PrivacySettings, RedactSettings, TargetName
from anonymizer.types import F32, I32, Detections, Effect, Reason, RedactionPlan, Region, Shape, Size, Target, Track

SAME_IOU = 0.5  # a detection and a track that overlap so much are one mask
SPREAD_SIGMAS = 2.0  # how much of a track's uncertainty its mask covers
ELLIPSE_MARGIN = 0.2072  # (sqrt(2) - 1) / 2: from this on the inscribed ellipse contains the box it was grown from


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
    fault: Reason | None  # INFERENCE_FAILED, INVALID_OUTPUT, CAMERA_CHANGED


@dataclass(frozen=True, slots=True)
class _Look:
    """How one kind of target is masked."""

    shape: Shape
    effect: Effect
    margin: float  # fraction of the box, on each side


def _look(mask: MaskSettings) -> _Look:
    margin = max(mask.margin, ELLIPSE_MARGIN) if mask.shape is Shape.ELLIPSE else mask.margin
    return _Look(mask.shape, mask.effect, margin)


class Policy:
    """Fails closed: a frame that fresh, possible evidence does not explain is masked whole. Keeps no state."""

    def __init__(self, privacy: PrivacySettings, redact: RedactSettings) -> None:
        masks = {TargetName.FACE: redact.face, TargetName.PERSON: redact.person}
        self._looks = {int(name.target): _look(masks[name]) for name in privacy.targets}
        self._max_age_ns = privacy.max_detection_age_ms * 1_000_000

    def decide(self, evidence: Evidence) -> RedactionPlan:
        """The plan for the frame; its regions cover every detection and track of the configured targets.

        Pure. Catches nothing: whoever calls takes an exception as POLICY_FAILED and masks the whole frame.
        """
        doubt = self._doubt(evidence)
        if doubt is not None:
            return RedactionPlan(evidence.seq, whole_frame=doubt)
        seen, expected = _seen(evidence), _expected(evidence.tracks)
        joint, only_seen, only_expected = _joined(seen, expected)
        regions = [
            *self._regions(joint, Reason.DETECTION),
            *self._regions(only_seen, Reason.DETECTION),
            *self._regions(only_expected, Reason.TRACK),
        ]
        return RedactionPlan(evidence.seq, regions=_without_covered(_on_frame(regions, evidence.size)))

    def _doubt(self, evidence: Evidence) -> Reason | None:
        """Why nothing but a whole-frame mask is safe, the gravest reason first."""
        if evidence.suspect:
            return Reason.SUSPECT_DECODE
        if evidence.fault is not None:
            return evidence.fault
        if evidence.detection_age_ns is None:
            return Reason.STARTING
        if evidence.detections is None and abs(evidence.detection_age_ns) > self._max_age_ns:
            return Reason.STALE
        if any(found is not None and not _is_possible(found) for found in (evidence.detections, evidence.later)):
            return Reason.INVALID_OUTPUT
        if evidence.detections is not None and evidence.detections.seq != evidence.seq:
            return Reason.POLICY_FAILED
        if evidence.tracks and not np.isfinite([[*track.box, *track.spread_px] for track in evidence.tracks]).all():
            return Reason.POLICY_FAILED
        return None

    def _regions(self, people: _People, reason: Reason) -> list[Region]:
        """One region for each box of a configured target, grown by that target's margin."""
        regions = []
        columns = (people.boxes.tolist(), people.targets.tolist(), people.track_ids)
        for (x1, y1, x2, y2), target, track_id in zip(*columns, strict=True):
            look = self._looks.get(target)
            if look is not None:
                dx, dy = (x2 - x1) * look.margin, (y2 - y1) * look.margin
                box = (x1 - dx, y1 - dy, x2 + dx, y2 + dy)
                regions.append(Region(box, look.shape, look.effect, reason, Target(target), track_id))
        return regions


def _is_possible(found: Detections) -> bool:
    """Whether boxes are finite and not inside out, and every class is known."""
    return bool(
        np.isfinite(found.boxes).all()
        and (found.boxes[:, :2] <= found.boxes[:, 2:]).all()
        and (found.class_ids >= 0).all()
        and (found.class_ids < len(Target)).all()
    )


@dataclass(frozen=True, slots=True, eq=False)
class _People:
    """Boxes (N, 4) in source pixels, their targets (N,) and the tracks that follow them."""

    boxes: F32
    targets: I32
    track_ids: tuple[int | None, ...]

    def where(self, chosen: NDArray[np.bool_]) -> _People:
        return _People(self.boxes[chosen], self.targets[chosen], tuple(itertools.compress(self.track_ids, chosen)))


def _seen(evidence: Evidence) -> _People:
    """Everybody who was detected in this frame or in the newer one."""
    found = [each for each in (evidence.detections, evidence.later) if each is not None]
    return _People(
        np.concatenate([np.empty((0, 4), np.float32), *(each.boxes for each in found)]),
        np.concatenate([np.empty(0, np.int32), *(each.class_ids for each in found)]),
        (None,) * sum(map(len, found)),
    )


def _expected(tracks: tuple[Track, ...]) -> _People:
    """Boxes that contain the tracks with what is uncertain about their place.

    A track that a detection supports in this very frame is not uncertain: that detection is masked as well.
    """
    boxes = np.array([track.box for track in tracks], np.float32).reshape(-1, 4)
    spread = np.array([track.spread_px if track.unseen_ns else (0.0, 0.0) for track in tracks], np.float32)
    spread = np.float32(SPREAD_SIGMAS) * spread.reshape(-1, 2)
    targets = np.array([track.target for track in tracks], np.int32)
    grown = np.concatenate([boxes[:, :2] - spread, boxes[:, 2:] + spread], axis=1)
    return _People(grown, targets, tuple(track.track_id for track in tracks))


def _joined(seen: _People, expected: _People) -> tuple[_People, _People, _People]:
    """Everybody once: boxes around a track and the detection it overlaps most, then who is only seen or expected.

    One calm mask instead of two that shift against each other: less to paint, less to encode, nothing uncovered.
    """
    if not len(seen.targets) or not len(expected.targets):
        nobody = _People(np.empty((0, 4), np.float32), np.empty(0, np.int32), ())
        return nobody, seen, expected
    overlap = iou_matrix(expected.boxes, seen.boxes)
    overlap[expected.targets[:, None] != seen.targets[None, :]] = 0.0
    best = overlap.argmax(axis=1)
    is_same = overlap[np.arange(len(best)), best] >= SAME_IOU
    partners = seen.boxes[best[is_same]]
    own = expected.where(is_same)
    around = np.concatenate(
        [np.minimum(own.boxes[:, :2], partners[:, :2]), np.maximum(own.boxes[:, 2:], partners[:, 2:])], axis=1
    )
    is_lonely = np.ones(len(seen.targets), np.bool_)
    is_lonely[best[is_same]] = False
    return _People(around, own.targets, own.track_ids), seen.where(is_lonely), expected.where(~is_same)


def _on_frame(regions: list[Region], size: Size) -> list[Region]:
    """The regions that reach into the frame."""
    return [
        region
        for region in regions
        if region.box[0] < size.width and region.box[1] < size.height and region.box[2] >= 0 and region.box[3] >= 0
    ]


def _without_covered(regions: list[Region]) -> tuple[Region, ...]:
    """The regions without those that lie in another one of shape box and the same effect: same pixels, fewer regions.

    What is left out is masked more coarsely, never more finely, for a larger region has larger cells.
    """
    unique: dict[tuple[object, ...], Region] = {}
    for region in regions:
        unique.setdefault((region.box, region.shape, region.effect), region)
    regions = list(unique.values())
    outer = np.array([index for index, region in enumerate(regions) if region.shape is Shape.BOX], np.intp)
    if not len(outer):
        return tuple(regions)
    x1, y1, x2, y2 = np.array([region.box for region in regions]).T
    effects = np.array([list(Effect).index(region.effect) for region in regions])
    lies_in = (  # (N, M): region n lies in outer region m
        (x1[:, None] >= x1[outer])
        & (y1[:, None] >= y1[outer])
        & (x2[:, None] <= x2[outer])
        & (y2[:, None] <= y2[outer])
        & (effects[:, None] == effects[outer])
        & (np.arange(len(regions))[:, None] != outer)
    )
    is_covered = lies_in.any(axis=1).tolist()
    return tuple(region for region, covered in zip(regions, is_covered, strict=True) if not covered)
