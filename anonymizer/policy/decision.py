"""Detections, tracks and health to a redaction plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from anonymizer.policy.evidence import Evidence, doubt
from anonymizer.policy.people import Heights, Part, People, expected, head, joined, seen, whole
from anonymizer.policy.silhouettes import drawn
from anonymizer.policy.sparing import spare
from anonymizer.polygon import Point, touches_box
from anonymizer.settings.schema import MaskSettings, Mode, Polygon, PrivacySettings, RedactSettings, TargetName
from anonymizer.types import Doubt, Effect, Reason, RedactionPlan, Refused, Region, Shape, Size, Target

ELLIPSE_MARGIN = 0.2072  # (sqrt(2) - 1) / 2: from this on the inscribed ellipse contains the box it was grown from


@dataclass(frozen=True, slots=True)
class _Look:
    """How something is masked."""

    shape: Shape
    effect: Effect
    margin: float  # fraction of the box, on each side


def _look(mask: MaskSettings) -> _Look:
    margin = max(mask.margin, ELLIPSE_MARGIN) if mask.shape is Shape.ELLIPSE else mask.margin
    return _Look(mask.shape, mask.effect, margin)


@dataclass(frozen=True, slots=True)
class _Rule:
    """One thing to mask: which detections, what of them, and how."""

    target: Target
    part: Part
    look: _Look
    least: float  # heights that count, as fractions of the frame's
    most: float

    def heights(self, size: Size) -> Heights:
        return Heights(size.height, self.least * size.height, self.most * size.height)


class Policy:
    """Fails closed: a frame that fresh, possible evidence does not explain is masked whole. Keeps no state."""

    def __init__(self, privacy: PrivacySettings, redact: RedactSettings) -> None:
        looks = {TargetName.FACE: redact.face, TargetName.HEAD: redact.head, TargetName.PERSON: redact.person}
        self._rules = [_rule(name, privacy, _look(looks[name])) for name in privacy.targets]
        self._somebody = _look(redact.person)
        self._zones, self._areas = privacy.zones, privacy.areas
        self._zone_effect = redact.zone_effect
        self._max_age_ns = privacy.max_detection_age_ms * 1_000_000
        self._strict = privacy.mode is Mode.STRICT

    def decide(self, evidence: Evidence) -> RedactionPlan:
        """The plan for the frame.

        Its regions cover every zone, and every detection and track of the configured targets and heights that touches
        an area, itself or with its mask, if there are areas; but not of those whom `spare` leaves visible. Pure.
        Catches nothing: whoever calls takes an exception as POLICY_FAILED and masks the whole frame.
        """
        reason = doubt(evidence, self._max_age_ns, strict=self._strict)
        if reason is not None:
            refused = [Refused(each.track_id, each.who, each.doubt or Doubt.WHOLE_FRAME) for each in evidence.standings]
            return RedactionPlan(evidence.seq, whole_frame=reason, refused=tuple(refused))
        sparing = spare(evidence)
        areas = [_in_pixels(area, evidence.size) for area in self._areas]
        suspected = [(_region(box, self._somebody, Reason.ATTENTION, None, None), box) for box in evidence.unexplained]
        masked = [each for rule in self._rules for each in _of(rule, sparing.rest)]
        regions = [*sparing.over(_touching(areas, masked)), *_touching(areas, suspected)]  # an opening cuts who counts
        visible = _on_frame(regions, evidence.size)
        zones = [self._zone(_in_pixels(zone, evidence.size)) for zone in self._zones]
        masks = (*zones, *_without_covered(list(drawn(visible, sparing.rest, self._somebody.margin))))
        return RedactionPlan(evidence.seq, masks, spared=sparing.spared, refused=sparing.refused)

    def _zone(self, outline: tuple[Point, ...]) -> Region:
        across, down = zip(*outline, strict=True)
        box = (min(across), min(down), max(across), max(down))
        return Region(box, Shape.BOX, self._zone_effect, Reason.ZONE, outline=outline)


def _rule(name: TargetName, privacy: PrivacySettings, look: _Look) -> _Rule:
    is_face = name is TargetName.FACE
    least, most = (
        (privacy.min_face_height, privacy.max_face_height)
        if is_face
        else (privacy.min_person_height, privacy.max_person_height)
    )
    part = head if name is TargetName.HEAD else whole
    return _Rule(name.target, part, look, least or 0.0, float("inf") if most is None else most)


def _of(rule: _Rule, evidence: Evidence) -> Iterator[tuple[Region, Sequence[float]]]:
    """One region for everybody to whom a rule applies, beside the box of all of them."""
    heights = rule.heights(evidence.size)
    joint, only_seen, only_expected = joined(
        seen(evidence.widened, rule.target, heights, rule.part),
        expected(evidence.tracks, rule.target, heights, rule.part, evidence.growth),
    )
    groups: tuple[tuple[People, Reason], ...] = (
        (joint, Reason.DETECTION),
        (only_seen, Reason.DETECTION),
        (only_expected, Reason.TRACK),
    )
    for people, reason in groups:
        rows = zip(people.boxes.tolist(), people.bodies.tolist(), people.track_ids, strict=True)
        for box, body, track_id in rows:
            yield _region(box, rule.look, reason, rule.target, track_id), body


def _region(box: Sequence[float], look: _Look, reason: Reason, target: Target | None, track_id: int | None) -> Region:
    """The box grown by its margin."""
    x1, y1, x2, y2 = box
    dx, dy = (x2 - x1) * look.margin, (y2 - y1) * look.margin
    return Region((x1 - dx, y1 - dy, x2 + dx, y2 + dy), look.shape, look.effect, reason, target, track_id)


def _touching(areas: Sequence[tuple[Point, ...]], masked: Iterable[tuple[Region, Sequence[float]]]) -> Iterator[Region]:
    """The regions of those who touch an area, with what is masked of them or with anything else; without areas all."""
    for region, (x1, y1, x2, y2) in masked:
        boxes = region.box, (x1, y1, x2, y2)
        if not areas or any(touches_box(area, box) for area in areas for box in boxes):
            yield region


def _in_pixels(polygon: Polygon, size: Size) -> tuple[Point, ...]:
    return tuple((point[0] * size.width, point[1] * size.height) for point in polygon)


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
        unique.setdefault((region.box, region.shape, region.effect, region.outline), region)
    regions = list(unique.values())
    is_full = [region.shape is Shape.BOX and region.outline is None for region in regions]
    outer = np.flatnonzero(is_full)
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
