"""The policy: every doubt masks the whole frame, and no mask is ever smaller than its evidence."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.policy import Evidence, Policy
from anonymizer.settings.schema import MaskSettings, PrivacySettings, RedactSettings, TargetName
from anonymizer.types import (
    Detections,
    Effect,
    Reason,
    RedactionPlan,
    Region,
    Shape,
    Size,
    Target,
    Track,
    TrackState,
)
from tests.fakes import make_detections

Box = tuple[float, float, float, float]
MS = 1_000_000
NAN, INF = math.nan, math.inf

PLAIN = RedactSettings(face=MaskSettings(margin=0.0), person=MaskSettings(margin=0.0))


def evidence(
    *,
    detections: Detections | None = None,
    later: Detections | None = None,
    tracks: tuple[Track, ...] = (),
    suspect: bool = False,
    age_ms: float | None = 0,
    fault: Reason | None = None,
) -> Evidence:
    return Evidence(
        seq=0,
        size=Size(640, 480),
        suspect=suspect,
        detections=detections,
        later=later,
        tracks=tracks,
        detection_age_ns=None if age_ms is None else round(age_ms * MS),
        fault=fault,
    )


def track(box: Box, *, target: Target = Target.FACE, spread_px: tuple[float, float] = (0.0, 0.0), **more: Any) -> Track:
    plain = Track(1, target, box, 0.9, TrackState.CONFIRMED, 0, spread_px)
    return replace(plain, **more)


def decide(known: Evidence, redact: RedactSettings = PLAIN, **privacy: object) -> RedactionPlan:
    return Policy(PrivacySettings(**privacy), redact).decide(known)


FOUND = make_detections((10, 10, 20, 20))
SEEN = (track((10, 10, 20, 20)),)


# Doubt: the whole frame


def test_a_suspect_frame_is_masked_whole_whatever_was_detected() -> None:
    plan = decide(evidence(suspect=True, detections=FOUND, tracks=SEEN))
    assert plan == RedactionPlan(0, (), Reason.SUSPECT_DECODE)


@pytest.mark.parametrize(
    "fault",
    [Reason.INFERENCE_FAILED, Reason.INVALID_OUTPUT, Reason.CAMERA_CHANGED, Reason.POLICY_FAILED],
)
def test_a_fault_masks_the_frame_whole_under_its_own_name(fault: Reason) -> None:
    assert decide(evidence(fault=fault, detections=FOUND, tracks=SEEN)) == RedactionPlan(0, (), fault)


def test_a_frame_without_any_detection_yet_is_masked_whole() -> None:
    assert decide(evidence(age_ms=None)).whole_frame is Reason.STARTING


def test_tracks_and_later_detections_do_not_end_the_start() -> None:
    assert decide(evidence(age_ms=None, tracks=SEEN, later=FOUND)).whole_frame is Reason.STARTING


@pytest.mark.parametrize(("age_ms", "stale"), [(0, False), (400, False), (400.001, True), (1e9, True)])
def test_a_frame_is_stale_when_its_newest_detection_is_older_than_the_setting(age_ms: float, stale: bool) -> None:
    plan = decide(evidence(age_ms=age_ms, tracks=SEEN), max_detection_age_ms=400)
    assert plan.whole_frame is (Reason.STALE if stale else None)


def test_a_detection_far_in_the_future_is_as_stale_as_one_in_the_past() -> None:
    """The timestamps have jumped back: what is known belongs to another time."""
    assert decide(evidence(age_ms=-401), max_detection_age_ms=400).whole_frame is Reason.STALE


def test_a_frame_with_its_own_detections_is_not_stale() -> None:
    assert decide(evidence(detections=FOUND, age_ms=9999)).whole_frame is None


def test_tracks_alone_explain_a_frame_between_detections() -> None:
    plan = decide(evidence(age_ms=100, tracks=SEEN))
    assert [region.reason for region in plan.regions] == [Reason.TRACK]


def test_an_empty_frame_with_fresh_detections_is_left_alone() -> None:
    assert decide(evidence(detections=make_detections())) == RedactionPlan(0)


IMPOSSIBLE_BOXES = [(NAN, 0, 1, 1), (0, 0, INF, 1), (0, -INF, 1, 1), (5, 0, 4, 1), (0, 5, 1, 4)]


@pytest.mark.parametrize("box", IMPOSSIBLE_BOXES)
def test_an_impossible_detection_masks_the_whole_frame(box: Box) -> None:
    assert decide(evidence(detections=make_detections((1, 1, 2, 2), box))).whole_frame is Reason.INVALID_OUTPUT
    assert decide(evidence(later=make_detections(box, seq=1))).whole_frame is Reason.INVALID_OUTPUT


@pytest.mark.parametrize("class_id", [-1, len(Target), 7])
def test_a_detection_of_an_unknown_class_masks_the_whole_frame(class_id: int) -> None:
    unknown = replace(FOUND, class_ids=np.array([class_id], np.int32))
    assert decide(evidence(detections=unknown)).whole_frame is Reason.INVALID_OUTPUT


@pytest.mark.parametrize(
    "broken", [{"box": (NAN, 0, 1, 1)}, {"box": (0, 0, 1, INF)}, {"spread_px": (NAN, 0)}, {"excess_px": NAN}]
)
def test_a_track_that_is_not_finite_masks_the_whole_frame(broken: dict[str, Any]) -> None:
    known = evidence(detections=FOUND, tracks=(*SEEN, replace(SEEN[0], **broken)))
    assert decide(known).whole_frame is Reason.POLICY_FAILED


def test_detections_of_another_frame_passed_as_its_own_mask_it_whole() -> None:
    assert decide(evidence(detections=make_detections((1, 1, 2, 2), seq=3))).whole_frame is Reason.POLICY_FAILED


def test_the_gravest_doubt_names_the_mask() -> None:
    assert (
        decide(evidence(suspect=True, fault=Reason.INFERENCE_FAILED, age_ms=None)).whole_frame is Reason.SUSPECT_DECODE
    )
    assert decide(evidence(fault=Reason.INFERENCE_FAILED, age_ms=None)).whole_frame is Reason.INFERENCE_FAILED


# Regions


def test_a_detection_becomes_a_region_with_its_targets_look() -> None:
    redact = RedactSettings(face=MaskSettings(effect=Effect.FILL, margin=0.0), person=MaskSettings(margin=0.0))
    both = [make_detections((10, 10, 20, 20)), make_detections((30, 30, 50, 90), target=Target.PERSON)]
    plan = decide(evidence(detections=both[0], later=both[1]), redact)
    assert plan.regions == (
        Region((10, 10, 20, 20), Shape.BOX, Effect.FILL, Reason.DETECTION, Target.FACE),
        Region((30, 30, 50, 90), Shape.BOX, Effect.FILL, Reason.DETECTION, Target.PERSON),
    )


def test_the_margin_is_a_fraction_of_the_box_on_each_side() -> None:
    plan = decide(evidence(detections=FOUND), RedactSettings(face=MaskSettings(margin=0.5)))
    assert plan.regions[0].box == (5, 5, 25, 25)


def test_a_track_grows_by_its_uncertainty_before_its_margin() -> None:
    known = evidence(tracks=(track((10, 10, 20, 20), spread_px=(1.0, 2.0), unseen_ns=1),))
    plan = decide(known, RedactSettings(face=MaskSettings(margin=0.5)))
    assert plan.regions[0].box == (10 - 2 - 7, 10 - 4 - 9, 20 + 2 + 7, 20 + 4 + 9)


def test_a_track_seen_in_this_very_frame_is_where_its_detection_is() -> None:
    known = evidence(detections=FOUND, tracks=(track((10, 10, 20, 20), spread_px=(1.0, 2.0)),))
    assert [region.box for region in decide(known).regions] == [(10, 10, 20, 20)]


def test_a_tentative_track_masks_as_well() -> None:
    assert len(decide(evidence(tracks=(track((1, 1, 9, 9), state=TrackState.TENTATIVE),))).regions) == 1


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0])
def test_an_ellipse_contains_the_box_it_stands_for_and_what_its_margin_adds_on_each_side(margin: float) -> None:
    redact = RedactSettings(face=MaskSettings(shape=Shape.ELLIPSE, margin=margin))
    x1, y1, x2, y2 = decide(evidence(detections=FOUND), redact).regions[0].box
    corner = ((10 - (x1 + x2) / 2) / ((x2 - x1) / 2)) ** 2 + ((10 - (y1 + y2) / 2) / ((y2 - y1) / 2)) ** 2
    assert corner <= 1
    assert max(x1, y1) <= 10 - margin * 10
    assert min(x2, y2) >= 20 + margin * 10


@pytest.mark.parametrize("named", [TargetName.FACE, TargetName.PERSON])
def test_only_configured_targets_are_masked(named: TargetName) -> None:
    found = make_detections((1, 1, 2, 2), (3, 3, 4, 4))
    found = replace(found, class_ids=np.array([Target.FACE, Target.PERSON], np.int32))
    seen = (track((10, 10, 20, 20), target=Target.FACE), track((30, 30, 40, 40), target=Target.PERSON))
    plan = decide(evidence(detections=found, tracks=seen), targets=(named,))
    assert [region.target for region in plan.regions] == [named.target] * 2


@pytest.mark.parametrize("box", [(-20, 10, -5, 20), (10, -20, 20, -5), (640, 10, 660, 20), (10, 480, 20, 490)])
def test_a_track_that_has_left_the_frame_needs_no_region(box: Box) -> None:
    assert decide(evidence(tracks=(track(box),))).regions == ()


@pytest.mark.parametrize("box", [(-9, 10, 0.5, 20), (10, -9, 20, 0.5), (639.5, 10, 650, 20), (10, 479.5, 20, 490)])
def test_what_reaches_into_the_frame_by_part_of_a_pixel_is_masked(box: Box) -> None:
    assert len(decide(evidence(tracks=(track(box),))).regions) == 1


def test_equal_regions_are_painted_once() -> None:
    plan = decide(evidence(detections=FOUND, tracks=SEEN))
    assert [region.reason for region in plan.regions] == [Reason.DETECTION]


def test_a_region_inside_a_box_of_the_same_effect_is_not_painted() -> None:
    outer, inner = track((0, 0, 90, 90), target=Target.PERSON), track((10, 10, 20, 20))
    assert [region.target for region in decide(evidence(tracks=(inner, outer))).regions] == [Target.PERSON]


@pytest.mark.parametrize(
    "person",
    [MaskSettings(effect=Effect.MOSAIC, margin=0.0), MaskSettings(shape=Shape.ELLIPSE, margin=0.0)],
    ids=["another effect", "an ellipse"],
)
def test_a_region_inside_another_effect_or_an_ellipse_is_still_painted(person: MaskSettings) -> None:
    outer, inner = track((0, 0, 90, 90), target=Target.PERSON), track((0, 0, 20, 20))
    redact = RedactSettings(face=MaskSettings(margin=0.0), person=person)
    assert len(decide(evidence(tracks=(inner, outer)), redact).regions) == 2


# Property: a mask is never smaller than its evidence

sides = st.integers(0, 60)
corners = st.integers(-20, 80)
boxes = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), corners, corners, sides, sides)
masks = st.builds(
    MaskSettings, effect=st.sampled_from(Effect), shape=st.sampled_from(Shape), margin=st.sampled_from([0.0, 0.1, 0.3])
)


def covered(region: Region, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x1, y1, x2, y2 = region.box
    if region.shape is Shape.BOX:
        return (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)
    across, down = max((x2 - x1) / 2, 1e-9), max((y2 - y1) / 2, 1e-9)
    return ((x - (x1 + x2) / 2) / across) ** 2 + ((y - (y1 + y2) / 2) / down) ** 2 <= 1


@settings(deadline=None)
@given(
    st.lists(st.tuples(boxes, st.sampled_from(Target)), max_size=5),
    st.lists(st.tuples(boxes, st.sampled_from(Target)), max_size=5),
    st.lists(st.tuples(boxes, st.sampled_from(Target), st.integers(0, 5)), max_size=5),
    masks,
    masks,
)
def test_every_pixel_of_every_detection_and_track_is_covered(
    found: list[tuple[Box, Target]],
    later: list[tuple[Box, Target]],
    seen: list[tuple[Box, Target, int]],
    face: MaskSettings,
    person: MaskSettings,
) -> None:
    def detections(items: list[tuple[Box, Target]], seq: int) -> Detections:
        plain = make_detections(*(box for box, _ in items), seq=seq)
        return replace(plain, class_ids=np.array([target for _, target in items], np.int32))

    known = Evidence(
        seq=0,
        size=Size(64, 64),
        suspect=False,
        detections=detections(found, 0),
        later=detections(later, 1),
        tracks=tuple(track(box, target=target, spread_px=(spread, 0), unseen_ns=1) for box, target, spread in seen),
        detection_age_ns=0,
        fault=None,
    )
    regions = decide(known, RedactSettings(face=face, person=person)).regions
    y, x = np.indices((64, 64)) + 0.5
    union = np.any([np.zeros_like(x, bool), *(covered(region, x, y) for region in regions)], axis=0)
    grown = [(box, 0) for box, _ in [*found, *later]] + [(box, 2 * spread) for box, _, spread in seen]
    for (x1, y1, x2, y2), spread in grown:
        wanted = (x > x1 - spread) & (x < x2 + spread) & (y > y1) & (y < y2)
        assert (union >= wanted).all()


# Who is followed


def test_a_region_names_the_track_that_it_follows() -> None:
    tracks = (track((11, 11, 21, 21), track_id=4), track((60, 60, 70, 70), track_id=9))
    found = make_detections((10, 10, 20, 20), (30, 30, 40, 40))
    plan = decide(evidence(detections=found, tracks=tracks))
    assert {region.box[0]: region.track_id for region in plan.regions} == {10: 4, 30: None, 60: 9}
