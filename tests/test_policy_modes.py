"""Modes, targets, zones, areas and heights: none ever masks less than the settings promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.evaluate.coverage import covered_share, heads, mask_of_plan
from anonymizer.policy import Evidence, Policy
from anonymizer.policy.ledger import Standing
from anonymizer.settings.schema import MaskSettings, Mode, PrivacySettings, RedactSettings, TargetName
from anonymizer.types import Detections, Effect, Reason, RedactionPlan, Shape, Size, Target, Track, TrackState
from tests.fakes import make_detections

Box = tuple[float, float, float, float]
SIZE = Size(160, 120)
PLAIN = RedactSettings(face=MaskSettings(margin=0.0), head=MaskSettings(margin=0.0), person=MaskSettings(margin=0.0))
LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
WEDGE = ((0.1, 0.1), (0.9, 0.3), (0.3, 0.8))


def people(*boxes: Box, target: Target = Target.PERSON, **more: Any) -> Detections:
    return replace(make_detections(*boxes, target=target), **more)


def track(box: Box, target: Target = Target.PERSON, unseen_ns: int = 0) -> Track:
    return Track(1, target, box, 0.9, TrackState.CONFIRMED, unseen_ns, (1.5, 0.5))


def evidence(
    detections: Detections | None = None, *tracks: Track, later: Detections | None = None, **more: Any
) -> Evidence:
    known = Evidence(0, SIZE, False, detections, later, tracks, 0, None)
    return replace(known, **more)


def decide(known: Evidence, redact: RedactSettings = PLAIN, /, **privacy: object) -> RedactionPlan:
    return Policy(PrivacySettings(**privacy), redact).decide(known)


def mask(plan: RedactionPlan) -> np.ndarray:
    return mask_of_plan(plan, SIZE)


# Modes


@pytest.mark.parametrize("mode", [Mode.BALANCED, Mode.LIVE])
def test_tracks_alone_explain_a_frame_unless_the_mode_is_strict(mode: Mode) -> None:
    known = evidence(None, track((10, 10, 20, 40)), detection_age_ns=1)
    assert decide(known, mode=mode).whole_frame is None
    assert decide(known, mode=Mode.STRICT).whole_frame is Reason.STALE


@pytest.mark.parametrize("found", ["detections", "later"])
def test_attention_that_failed_masks_the_whole_frame_in_mode_strict_alone(found: str) -> None:
    failed: dict[str, Any] = {found: people((10, 10, 20, 40), attention_failed=True)}
    known = replace(evidence(), **failed)
    assert decide(known).whole_frame is None
    assert decide(known, mode=Mode.STRICT).whole_frame is Reason.ATTENTION_FAILED
    both: dict[str, Any] = {"detections": people(), "later": people(), **failed}
    assert decide(replace(known, **both), mode=Mode.STRICT).whole_frame is Reason.ATTENTION_FAILED


def test_what_attention_alone_sees_is_masked_as_a_person_would_be() -> None:
    plan = decide(evidence(people(), unexplained=((10, 10, 30, 30),)), mode=Mode.STRICT)
    assert [(region.box, region.reason, region.target) for region in plan.regions] == [
        ((10, 10, 30, 30), Reason.ATTENTION, None)
    ]


def test_attention_that_is_not_finite_masks_the_whole_frame() -> None:
    known = evidence(people(), unexplained=((10, 10, float("nan"), 30),))
    assert decide(known).whole_frame is Reason.POLICY_FAILED


# Targets


def test_a_head_is_the_upper_quarter_of_a_person_and_no_face() -> None:
    known = evidence(people((40, 20, 60, 100)))
    assert [region.box for region in decide(known, targets=("head",)).regions] == [(40, 20, 60, 40)]
    assert decide(evidence(people((40, 20, 60, 100), target=Target.FACE)), targets=("head",)).regions == ()


@pytest.mark.parametrize(
    ("person", "head"),
    [
        ((40, 20, 90, 120), (40, 20, 90, 50)),  # walks, or holds out the arms
        ((40, 70, 90, 120), (40, 70, 90, 100)),  # shows head and shoulders only
        ((40, 90, 120, 120), (40, 90, 120, 120)),  # lies
    ],
)
def test_the_head_of_who_is_wide_for_the_height_reaches_further_down(person: Box, head: Box) -> None:
    """With a quarter of every person five of six faces that fill half of its box were bare by three tenths or more."""
    for known in (evidence(people(person)), evidence(people(), track(person))):
        assert [region.box for region in decide(known, targets=("head",)).regions] == [pytest.approx(head)]


def test_the_head_of_an_uncertain_track_is_grown_by_what_is_uncertain() -> None:
    plan = decide(evidence(people(), track((40, 20, 60, 100), unseen_ns=1)), targets=("head",))
    assert [region.box for region in plan.regions] == [(37, 19, 63, 41)]


def test_each_target_is_masked_in_its_own_way() -> None:
    looks = RedactSettings(
        face=MaskSettings(effect=Effect.FILL, margin=0),
        head=MaskSettings(effect=Effect.BLUR, shape=Shape.ELLIPSE),
        person=MaskSettings(effect=Effect.NOISE, margin=0),
    )
    plan = decide(evidence(people((40, 20, 60, 100))), looks, targets=("face", "head", "person"))
    assert {(region.effect, region.shape) for region in plan.regions} == {
        (Effect.BLUR, Shape.ELLIPSE),
        (Effect.NOISE, Shape.BOX),
    }


# Zones


@pytest.mark.parametrize("known", [evidence(people()), evidence(people((100, 10, 120, 60)))])
def test_a_zone_is_always_masked(known: Evidence) -> None:
    plan = decide(known, zones=(WEDGE,), areas=(((0.95, 0.95), (1, 0.95), (1, 1)),))
    assert [(region.reason, region.effect) for region in plan.regions] == [(Reason.ZONE, Effect.FILL)]
    x, y = np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5)
    (ax, ay), (bx, by), (cx, cy) = ((u * 160, v * 120) for u, v in WEDGE)
    inside = np.ones((120, 160), bool)
    for x1, y1, x2, y2 in ((ax, ay, bx, by), (bx, by, cx, cy), (cx, cy, ax, ay)):
        inside &= (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1) >= 0
    assert inside.sum() > 2000
    assert mask(plan)[inside].all()
    assert not mask(plan)[:, 150:].any()
    assert not mask(plan)[80:, 120:].any()


def test_a_zone_looks_as_the_settings_say() -> None:
    plan = decide(evidence(people()), RedactSettings(zone_effect=Effect.MOSAIC), zones=(LEFT,))
    assert plan.regions[0].effect is Effect.MOSAIC


# Areas


def test_only_who_touches_an_area_is_masked() -> None:
    known = evidence(people((10, 10, 20, 40), (100, 10, 120, 60), (79, 70, 90, 90)))
    plan = decide(known, areas=(LEFT,))
    assert {region.box for region in plan.regions} == {(10, 10, 20, 40), (79, 70, 90, 90)}


def test_the_margin_counts_when_somebody_comes_near_an_area() -> None:
    known = evidence(people((82, 10, 102, 60)))
    assert decide(known, areas=(LEFT,)).regions == ()
    assert decide(known, RedactSettings(person=MaskSettings(margin=0.2)), areas=(LEFT,)).regions


@pytest.mark.parametrize("known", [evidence(people((60, 10, 80, 90))), evidence(people(), track((60, 10, 80, 90)))])
def test_a_head_is_masked_when_any_of_its_person_touches_an_area(known: Evidence) -> None:
    """An area is drawn on the ground: feet stand in it, heads do not."""
    ground = ((0.0, 0.7), (1.0, 0.7), (1.0, 1.0), (0.0, 1.0))
    assert [region.box for region in decide(known, targets=("head",), areas=(ground,)).regions] == [(60, 10, 80, 30)]
    beyond = ((0.0, 0.8), (1.0, 0.8), (1.0, 1.0), (0.0, 1.0))
    assert decide(known, targets=("head",), areas=(beyond,)).regions == ()


def test_an_opening_for_who_stays_visible_bares_nobody_who_touches_an_area() -> None:
    """What is left of the other's mask around it need not touch the area itself."""
    me: Box = (60, 40, 70, 52)
    standing = Standing(1, "Ana", 9, None)
    known = evidence(
        people(me, (58, 12, 70, 24), target=Target.FACE),
        track(me, Target.FACE),
        replace(track((40, 10, 90, 110)), track_id=2),
        standings=(standing,),
    )
    everywhere, ground = decide(known), decide(known, areas=(((0.0, 0.8), (1.0, 0.8), (1.0, 1.0), (0.0, 1.0)),))
    assert [face.who for face in everywhere.spared] == ["Ana"]
    body = [region for region in everywhere.regions if region.target is Target.PERSON]
    assert len(body) > 1
    assert set(body) <= set(ground.regions)


def test_a_whole_frame_mask_knows_no_areas() -> None:
    assert decide(evidence(suspect=True), areas=(LEFT,)).whole_frame is Reason.SUSPECT_DECODE


# Heights


@pytest.mark.parametrize(("name", "target"), [("face", Target.FACE), ("person", Target.PERSON)])
def test_heights_bound_detections_and_tracks_of_their_target(name: str, target: Target) -> None:
    """12 and 60 px of a frame of 120: the bounds themselves are within."""
    boxes: list[Box] = [(10, 10, 20, 21), (30, 10, 40, 22), (50, 10, 60, 70), (70, 10, 80, 71)]
    bounds = {f"min_{name}_height": 0.1, f"max_{name}_height": 0.5}
    for known in (evidence(people(*boxes, target=target)), evidence(people(), *(track(box, target) for box in boxes))):
        plan = decide(known, **bounds)
        assert {region.box for region in plan.regions} == set(boxes[1:3])
        assert len(decide(known).regions) == 4


def test_a_head_counts_by_the_height_of_its_person() -> None:
    known = evidence(people((10, 10, 20, 22), (30, 10, 40, 20)))
    assert len(decide(known, targets=("head",), min_person_height=0.1).regions) == 1


@pytest.mark.parametrize("name", ["face", "person"])
@pytest.mark.parametrize(
    ("box", "counts"), [((50, 100, 90, 119), True), ((50, 1, 90, 20), True), ((50, 97, 90, 116), False)]
)
def test_nobody_is_too_low_who_is_cut_off_by_the_upper_or_lower_edge(name: str, box: Box, counts: bool) -> None:
    """Whoever shows only head and shoulders there stands right before the camera."""
    target = Target[name.upper()]
    for known in (evidence(people(box, target=target)), evidence(people(), track(box, target))):
        assert bool(decide(known, **{f"min_{name}_height": 0.25}).regions) == counts


def test_somebody_is_not_too_high_because_the_box_is_around_two_places() -> None:
    two = track((50, 10, 60, 95), unseen_ns=1)
    assert decide(evidence(people(), two), max_person_height=0.5).regions == ()
    assert decide(evidence(people(), replace(two, excess_px=30.0)), max_person_height=0.5).regions


def test_somebody_who_was_not_seen_is_too_high_only_if_that_is_sure() -> None:
    """Of a frame of 120; the edges of the track are unsure by 1 px each, at two sigmas."""
    heights = {61.0: True, 62.0: True, 63.0: False}
    for height, counts in heights.items():
        known = evidence(people(), track((50, 10, 60, 10 + height), unseen_ns=1))
        assert bool(decide(known, max_person_height=0.5).regions) == counts


def wide(box: Box, growth: float) -> Box:
    dx, dy = growth * (box[2] - box[0]), growth * (box[3] - box[1])
    return box[0] - dx, box[1] - dy, box[2] + dx, box[3] + dy


@settings(deadline=None, max_examples=60)
@given(st.floats(0.01, 1.0))
def test_boxes_that_were_widened_for_being_old_mask_nobody_less(growth: float) -> None:
    """The height that counts is the one that was found, and a head is where it was, and around."""
    for target, box in ((Target.PERSON, (60.0, 40.0, 80.0, 99.0)), (Target.FACE, (60.0, 40.0, 80.0, 87.0))):
        plain, old = (
            [
                evidence(None, later=people(wide(box, by), target=target), growth=by),
                evidence(people(), track(wide(box, by), target, unseen_ns=1), growth=by),
            ]
            for by in (0.0, growth)
        )
        limits = {"max_person_height": 0.5, "max_face_height": 0.4}
        for name in TargetName:
            for before, after in zip(plain, old, strict=True):
                less = decide(before, targets=(name,), **limits)
                more = decide(after, targets=(name,), **limits)
                assert len(less.regions) == (name.target is target)
                assert not (mask(less) & ~mask(more)).any()


@pytest.mark.parametrize("growth", [0.1, 0.5])
def test_whoever_was_seen_a_while_ago_is_masked_wherever_they_may_have_gone_and_a_head_as_far_as_its_owner(
    growth: float,
) -> None:
    person, head = (60.0, 40.0, 80.0, 100.0), (60.0, 40.0, 80.0, 55.0)
    across, down = growth * 20, growth * 60
    for known in (
        evidence(None, later=people(wide(person, growth)), growth=growth),
        evidence(people(), track(wide(person, growth), unseen_ns=1), growth=growth),
    ):
        for name, (x1, y1, x2, y2) in (("person", person), ("head", head)):
            gone = np.array([[x1 - across, y1 - down, x2 + across, y2 + down]], np.float32)
            assert covered_share(mask(decide(known, targets=(name,))), gone) == 1


# All of it together


fraction = st.floats(0, 1).map(lambda value: round(value, 3))
sides = st.tuples(st.floats(0, 150), st.floats(0, 110), st.floats(2, 60), st.floats(2, 80))
boxes = sides.map(lambda each: (each[0], each[1], min(each[0] + each[2], 160.0), min(each[1] + each[3], 120.0)))
targets = st.sampled_from(list(Target))
crowds = st.lists(st.tuples(boxes, targets), max_size=5)
privacies = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(list(Mode)),
        "targets": st.lists(st.sampled_from(list(TargetName)), min_size=1, unique=True).map(tuple),
        "zones": st.sampled_from([(), (WEDGE,), (LEFT, WEDGE)]),
        "areas": st.sampled_from([(), (WEDGE,), (LEFT,)]),
        "min_face_height": st.sampled_from([None, 0.1]),
        "max_face_height": st.sampled_from([None, 0.4]),
        "min_person_height": st.sampled_from([None, 0.2]),
        "max_person_height": st.sampled_from([None, 0.5]),
    }
)


def of(crowd: list[tuple[Box, Target]]) -> Detections:
    found = make_detections(*(box for box, _ in crowd))
    return replace(found, class_ids=np.array([target for _, target in crowd], np.int32))


ORDER = (Mode.STRICT, Mode.BALANCED, Mode.LIVE)


@settings(deadline=None, max_examples=60)
@given(crowds, crowds, privacies)
def test_everybody_whom_the_settings_promise_to_mask_is_covered(
    found: list[tuple[Box, Target]], followed: list[tuple[Box, Target]], privacy: dict[str, object]
) -> None:
    known = evidence(of(found), *(track(box, target) for box, target in followed))
    plan = decide(known, **privacy)
    painted = mask(plan)
    promised = PrivacySettings(**privacy)
    assert plan.whole_frame is None
    assert mask(decide(evidence(people()), zones=promised.zones))[~painted].sum() == 0
    for (x1, y1, x2, y2), target in [*found, *followed]:
        is_face = target is Target.FACE
        least = (promised.min_face_height if is_face else promised.min_person_height) or 0
        most = (promised.max_face_height if is_face else promised.max_person_height) or 1
        height = float(np.float32(y2)) - float(np.float32(y1))
        if not least * 120 <= height <= most * 120:
            continue
        box = np.array([[x1, y1, x2, y2]], np.float32)
        middle_is_in_area = not promised.areas or (promised.areas == (LEFT,) and (x1 + x2) / 2 < 80)
        if middle_is_in_area and TargetName[target.name] in promised.targets:
            assert covered_share(painted, box) == 1
        if middle_is_in_area and not promised.areas and not is_face and TargetName.HEAD in promised.targets:
            assert covered_share(painted, heads(box)) == 1


@settings(deadline=None, max_examples=60)
@given(crowds, crowds, privacies, st.booleans(), st.lists(boxes, max_size=2))
def test_strict_masks_whatever_balanced_and_live_mask(
    found: list[tuple[Box, Target]],
    followed: list[tuple[Box, Target]],
    privacy: dict[str, object],
    looked: bool,
    unexplained: list[Box],
) -> None:
    known = evidence(
        of(found) if looked else None,
        *(track(box, target) for box, target in followed),
        unexplained=tuple(unexplained),
    )
    strict, balanced, live = (
        mask(decide(known, **{**privacy, "mode": mode})) for mode in ("strict", "balanced", "live")
    )
    assert not (balanced & ~strict).any()
    assert (balanced == live).all()


@settings(deadline=None, max_examples=60)
@given(crowds, privacies, boxes, targets)
def test_more_evidence_never_uncovers_anything(
    found: list[tuple[Box, Target]], privacy: dict[str, object], box: Box, target: Target
) -> None:
    fewer, more = decide(evidence(of(found)), **privacy), decide(evidence(of([*found, (box, target)])), **privacy)
    assert not (mask(fewer) & ~mask(more)).any()
