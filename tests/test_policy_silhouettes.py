"""Silhouettes: a mask shrinks to a shape only for who was seen in the very frame, and never bares a head or a face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.evaluate.coverage import mask_of_plan
from anonymizer.policy import Evidence, Policy
from anonymizer.policy.people import HEAD_SHARE
from anonymizer.settings.schema import MaskSettings, PrivacySettings, RedactSettings, TargetName
from anonymizer.types import (
    Detections,
    Effect,
    Reason,
    RedactionPlan,
    Region,
    Silhouette,
    Size,
    Target,
    Track,
    TrackState,
)
from tests.fakes import make_detections

Box = tuple[float, float, float, float]
PERSON: Box = (100.0, 100.0, 180.0, 300.0)
DIAMOND = ((140.0, 100.0), (180.0, 200.0), (140.0, 300.0), (100.0, 200.0))
SHAPES = RedactSettings(person=MaskSettings(effect=Effect.SILHOUETTE, margin=0.1))
SIZE = Size(640, 480)


def found(*boxes: Box, silhouettes: tuple[Silhouette, ...] | None = None, faces: tuple[Box, ...] = ()) -> Detections:
    """Persons, the first of whom has the shape of a diamond."""
    drawn = (Silhouette(PERSON, DIAMOND),) if silhouettes is None else silhouettes
    persons, bare = make_detections(*boxes, target=Target.PERSON), make_detections(*faces)
    return replace(
        persons,
        boxes=np.concatenate([persons.boxes, bare.boxes]),
        scores=np.concatenate([persons.scores, bare.scores]),
        class_ids=np.concatenate([persons.class_ids, bare.class_ids]),
        silhouettes=drawn,
    )


def track(box: Box, *, target: Target = Target.PERSON, unseen_ns: int = 0, number: int = 1) -> Track:
    return Track(number, target, box, 0.9, TrackState.CONFIRMED, unseen_ns)


def decide(
    detections: Detections | None,
    tracks: tuple[Track, ...] = (),
    *,
    later: Detections | None = None,
    redact: RedactSettings = SHAPES,
    **privacy: object,
) -> RedactionPlan:
    given = {"targets": (TargetName.PERSON,), **privacy}
    known = Evidence(0, SIZE, False, detections, later, tracks, 0, None)
    return Policy(PrivacySettings(**given), redact).decide(known)


def shapes(plan: RedactionPlan) -> list[Region]:
    return [region for region in plan.regions if region.outline is not None]


def test_a_person_seen_alone_is_masked_by_shape_and_head() -> None:
    plan = decide(found(PERSON))
    shape, head = plan.regions
    assert shape.outline == DIAMOND
    assert head.outline is None
    assert head.box == pytest.approx((92, 80, 188, 100 + (HEAD_SHARE + 0.1) * 200))
    assert {region.effect for region in plan.regions} == {Effect.SILHOUETTE}
    assert mask_of_plan(plan, SIZE).sum() < 0.8 * mask_of_plan(decide(found(PERSON, silhouettes=())), SIZE).sum()


@pytest.mark.parametrize(
    "plan",
    [
        decide(found(PERSON, silhouettes=())),
        decide(found(PERSON), redact=RedactSettings()),  # not asked for
        decide(None, (track(PERSON, unseen_ns=1),)),  # nobody looked
        decide(None, later=replace(found(PERSON), seq=3)),  # of a newer frame
        decide(found(PERSON), (track(PERSON, unseen_ns=1),)),  # the place is a guess
        decide(found(PERSON), (track((60.0, 100.0, 180.0, 300.0)),)),  # the track knows of more
        decide(found((101.0, 100.0, 180.0, 300.0))),  # the box is not the silhouette's
        decide(replace(found(PERSON), class_ids=np.array([Target.FACE], np.int32)), targets=(TargetName.FACE,)),
    ],
)
def test_in_any_doubt_all_of_the_box_is_masked(plan: RedactionPlan) -> None:
    assert plan.regions
    assert not shapes(plan)


def test_two_silhouettes_of_one_mask_leave_the_box() -> None:
    near: Box = (101.0, 101.0, 181.0, 301.0)
    twins = (Silhouette(PERSON, DIAMOND), Silhouette(near, DIAMOND))
    assert not shapes(decide(found(PERSON, near, silhouettes=twins)))


def test_a_silhouette_keeps_its_track() -> None:
    plan = decide(found(PERSON), (track((101.0, 100.0, 181.0, 300.0), number=7),))
    assert [region.track_id for region in plan.regions] == [7, 7]


def test_another_persons_box_over_a_shape_stays_whole() -> None:
    other: Box = (150.0, 120.0, 250.0, 310.0)
    mask = mask_of_plan(decide(found(PERSON, other)), SIZE)
    assert mask[120:310, 150:250].all()


def test_a_box_within_that_of_a_shape_is_still_painted() -> None:
    child: Box = (150.0, 240.0, 178.0, 298.0)
    assert mask_of_plan(decide(found(PERSON, child)), SIZE)[240:298, 150:178].all()


def test_an_area_that_the_feet_touch_masks_the_head_too() -> None:
    plan = decide(found(PERSON), areas=(((0.0, 0.6), (1.0, 0.6), (1.0, 0.64), (0.0, 0.64)),))
    assert len(plan.regions) == 2


def test_a_shape_with_corners_nowhere_masks_the_frame() -> None:
    wild = Silhouette(PERSON, ((0.0, 0.0), (float("nan"), 1.0), (2.0, 2.0)))
    assert decide(found(PERSON, silhouettes=(wild,))).whole_frame is Reason.INVALID_OUTPUT


corners = st.lists(st.tuples(st.floats(90, 190), st.floats(90, 310)), min_size=3, max_size=8, unique=True).map(tuple)
faces = st.tuples(st.floats(80, 180), st.floats(80, 290), st.floats(2, 60)).map(
    lambda face: (face[0], face[1], face[0] + face[2], face[1] + face[2])
)


@settings(deadline=None, max_examples=30)
@given(corners, st.lists(faces, max_size=3), st.lists(faces, max_size=2))
def test_heads_and_faces_are_within_the_fill_whatever_the_outline(
    outline: tuple[tuple[float, float], ...], seen: list[Box], followed: list[Box]
) -> None:
    tracks = tuple(track(box, target=Target.FACE, unseen_ns=1, number=number) for number, box in enumerate(followed, 1))
    plan = decide(found(PERSON, silhouettes=(Silhouette(PERSON, outline),), faces=tuple(seen)), tracks)
    mask = mask_of_plan(plan, SIZE)
    assert mask[100:150, 100:180].all()
    for x1, y1, x2, y2 in (*seen, *followed):
        if x1 < 180 and y1 < 300 and x2 > 100 and y2 > 100:
            assert mask[int(y1) : int(y2), int(x1) : int(x2)].all()
