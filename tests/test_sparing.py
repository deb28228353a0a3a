"""Who stays visible in a frame: nobody near whom, over whom or with whose body anything is unclear."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.exposure import exposed
from anonymizer.policy import Evidence, Policy, Standing
from anonymizer.settings.schema import MaskSettings, PrivacySettings, RedactSettings, TargetName
from anonymizer.types import Detections, Doubt, Reason, RedactionPlan, Refused, Size, Spared, Target, Track, TrackState
from tests.fakes import make_detections

Box = tuple[float, float, float, float]

SIZE = Size(640, 480)
FACE: Box = (100.0, 100.0, 180.0, 200.0)
BODY: Box = (60.0, 80.0, 220.0, 460.0)
ANA = Standing(1, "ana", 9, None)
PLAIN = RedactSettings(face=MaskSettings(margin=0.0), person=MaskSettings(margin=0.0))
FACES = PrivacySettings(targets=(TargetName.FACE,))


def face(track_id: int = 1, box: Box = FACE, unseen_ns: int = 0, spread_px: float = 0.0) -> Track:
    return Track(track_id, Target.FACE, box, 0.9, TrackState.CONFIRMED, unseen_ns, (spread_px, spread_px))


def person(track_id: int = 11, box: Box = BODY) -> Track:
    return Track(track_id, Target.PERSON, box, 0.9, TrackState.CONFIRMED, 0)


def joined(*found: Detections) -> Detections:
    return replace(
        found[0],
        boxes=np.concatenate([each.boxes for each in found]),
        scores=np.concatenate([each.scores for each in found]),
        class_ids=np.concatenate([each.class_ids for each in found]),
    )


def decide(
    *tracks: Track,
    detections: Detections | None = None,
    later: Detections | None = None,
    standings: tuple[Standing, ...] = (ANA,),
    privacy: PrivacySettings | None = None,
    fault: Reason | None = None,
) -> RedactionPlan:
    if detections is None and later is None:
        detections = joined(
            make_detections(*(track.box for track in tracks if track.target is Target.FACE)),
            make_detections(*(track.box for track in tracks if track.target is Target.PERSON), target=Target.PERSON),
        )
    known = Evidence(0, SIZE, False, detections, later, tracks, 0, fault, standings=standings)
    return Policy(privacy or PrivacySettings(), PLAIN).decide(known)


def doubt(plan: RedactionPlan) -> Doubt:
    assert plan.spared == ()
    assert plan.regions
    (refused,) = plan.refused
    return refused.doubt


def test_a_face_that_votes_vouch_for_stays_visible_with_its_body() -> None:
    assert decide(face(), person()) == RedactionPlan(0, spared=(Spared(1, "ana", 9, FACE),))


def test_without_a_standing_everybody_is_masked() -> None:
    assert len(decide(face(), person(), standings=()).regions) == 1  # the face lies within the person


def test_a_face_without_a_body_stays_visible_and_everybody_else_is_masked() -> None:
    plan = decide(face(), face(2, (400, 100, 480, 200)), person(12, (360, 80, 520, 460)))
    assert [region.box for region in plan.regions] == [(360, 80, 520, 460)]
    assert plan.spared


@pytest.mark.parametrize("what", list(Doubt))
def test_a_doubt_of_the_votes_masks(what: Doubt) -> None:
    assert doubt(decide(face(), person(), standings=(replace(ANA, doubt=what),))) is what


def test_a_frame_that_is_masked_whole_spares_nobody() -> None:
    plan = decide(face(), fault=Reason.INFERENCE_FAILED, standings=(ANA, Standing(2, "bob", 1, Doubt.FEW_VOTES)))
    refused = (Refused(1, "ana", Doubt.WHOLE_FRAME), Refused(2, "bob", Doubt.FEW_VOTES))
    assert plan == RedactionPlan(0, whole_frame=Reason.INFERENCE_FAILED, refused=refused)


def test_every_place_of_the_track_and_its_detection_is_left_out_of_the_masks() -> None:
    places = (face(), face(box=(104, 102, 184, 202), unseen_ns=1, spread_px=1))
    found = make_detections((98, 99, 179, 203))
    assert decide(*places, detections=found).regions == ()
    assert decide(*places, later=found).regions == ()


@pytest.mark.parametrize("other", [(190, 100, 260, 190), (120, 120, 160, 170), (100, 210, 180, 300)])
def test_another_face_near_masks(other: Box) -> None:
    assert doubt(decide(face(), face(2, other))) is Doubt.NEAR_FACE
    only_found = make_detections(FACE, other)
    assert doubt(decide(face(), detections=only_found)) is Doubt.NEAR_FACE
    assert doubt(decide(face(), later=only_found)) is Doubt.NEAR_FACE


@pytest.mark.parametrize("other", [(195, 120, 225, 160), (240, 100, 320, 200), (150, 230, 230, 330)])
def test_another_face_on_or_near_any_of_the_places_where_somebody_may_be_masks(other: Box) -> None:
    places = face(), face(box=(150, 120, 230, 220), unseen_ns=1)
    assert decide(*places).spared
    assert doubt(decide(*places, face(2, other))) is Doubt.NEAR_FACE


@pytest.mark.parametrize("smaller", [(198, 110, 258, 185), (22, 110, 82, 185), (110, 222, 170, 297), (110, 3, 170, 78)])
def test_of_two_faces_beside_each_other_the_larger_ones_surroundings_count_whichever_may_stay_visible(
    smaller: Box,
) -> None:
    """A quarter of the sides is 20 and 25 px of the larger one, 15 and 19 px of the smaller one."""
    assert doubt(decide(face(), face(2, smaller))) is Doubt.NEAR_FACE
    assert doubt(decide(face(box=smaller), face(2, FACE))) is Doubt.NEAR_FACE


def test_a_face_that_may_have_come_near_unseen_masks() -> None:
    far = (240.0, 100.0, 320.0, 200.0)
    assert decide(face(), face(2, far)).spared
    assert doubt(decide(face(), face(2, far, unseen_ns=1, spread_px=30))) is Doubt.NEAR_FACE


@pytest.mark.parametrize("other", [(230, 100, 310, 200), (160, 140, 230, 230)])
def test_a_face_near_masks_as_well_where_it_is_unsure_where_the_one_that_stays_visible_is(other: Box) -> None:
    assert doubt(decide(face(unseen_ns=1, spread_px=40), face(2, other))) is Doubt.NEAR_FACE
    alone = decide(face(unseen_ns=1, spread_px=40), face(2, (360, 100, 440, 200)), detections=make_detections())
    assert alone.spared


def test_no_more_is_open_than_the_face_however_unsure_its_place_is() -> None:
    above = person(box=(60, -300, 220, 220))  # who has their legs there
    plan = decide(face(unseen_ns=1, spread_px=20), above, detections=make_detections(above.box, target=Target.PERSON))
    assert [spared.box for spared in plan.spared] == [FACE]
    assert sorted(region.box for region in plan.regions)[0] == (60.0, -300.0, 220.0, 100.0)


@pytest.mark.parametrize("second", [(150, 60, 300, 460), (100, 20, 260, 380)])
def test_a_second_body_over_the_face_masks(second: Box) -> None:
    assert doubt(decide(face(), person(), person(12, second))) is Doubt.COVERED
    found = joined(make_detections(FACE), make_detections(BODY, second, target=Target.PERSON))
    assert doubt(decide(face(), person(), detections=found)) is Doubt.COVERED


def test_several_boxes_of_one_body_are_spared_together() -> None:
    upper, older = (60.0, 80.0, 220.0, 300.0), replace(person(13), unseen_ns=1, spread_px=(60.0, 60.0))
    plan = decide(
        face(),
        older,
        person(11),
        person(12, upper),
        detections=joined(make_detections(FACE), make_detections(BODY, upper, target=Target.PERSON)),
    )
    assert plan.spared
    assert plan.regions == ()


def test_of_a_box_that_shows_two_people_nothing_but_the_face_is_open() -> None:
    x1, y1, x2, y2 = everybody = (0.0, 60.0, 500.0, 470.0)
    other = (400.0, 120.0, 470.0, 200.0)
    plan = decide(face(), person(), person(12, everybody), face(2, other))
    assert [spared.box for spared in plan.spared] == [FACE]
    assert other in [region.box for region in decide(face(), face(2, other)).regions]
    left, top, right, bottom = FACE
    assert {region.box for region in plan.regions} == {
        (x1, y1, x2, top),
        (x1, bottom, x2, y2),
        (x1, top, left, bottom),
        (right, top, x2, bottom),
    }


def test_two_people_who_both_stay_visible_in_one_box_are_both_open() -> None:
    ben = Standing(2, "ben", 9, None)
    both = (0.0, 60.0, 500.0, 470.0)
    plan = decide(face(), face(2, (400, 120, 470, 200)), person(12, both), standings=(ANA, ben))
    assert len(plan.spared) == 2
    assert len(exposed(np.array([spared.box for spared in plan.spared], np.float32), plan.regions)) == 2


# Ana's face and Bob's, whom she stands in front of and whose face no model finds; and what the detector makes of it
UNFOUND = {
    "he is taller": (FACE, (105, 10, 175, 90), [BODY, (62, -10, 218, 460)]),
    "he is taller and one box is around both": (FACE, (105, 10, 175, 90), [(60, -10, 220, 460)]),
    "she is a child": ((110, 200, 170, 275), (100, 80, 180, 180), [(60, 60, 220, 460)]),
    "his head is beside hers, in a box of his own": (FACE, (185, 105, 255, 195), [BODY, (80, 80, 320, 460)]),
    "his head is beside hers, in a box around both": (FACE, (185, 105, 255, 195), [(40, 80, 320, 460)]),
    "the box around both is an older one": (FACE, (185, 105, 255, 195), [BODY, (40, 80, 320, 460)]),
}


@pytest.mark.parametrize(("ana", "bob", "bodies"), UNFOUND.values(), ids=UNFOUND.keys())
@pytest.mark.parametrize("target", [TargetName.PERSON, TargetName.HEAD])
@pytest.mark.parametrize("are_found", [True, False])
def test_of_a_body_with_room_for_another_head_the_face_alone_is_open(
    ana: Box, bob: Box, bodies: list[Box], target: TargetName, are_found: bool
) -> None:
    tracks = [face(box=ana), *(person(index, box) for index, box in enumerate(bodies, 11))]
    privacy = PrivacySettings(targets=(TargetName.FACE, target))
    plan = decide(*tracks, privacy=privacy, detections=None if are_found else make_detections(ana))
    assert plan.spared
    assert len(exposed(np.array([bob], np.float32), plan.regions)) == 0
    assert len(exposed(np.array([ana], np.float32), plan.regions)) == 1


def test_a_body_with_room_for_another_head_that_nobody_follows_yet_masks() -> None:
    found = joined(make_detections(FACE), make_detections((60, -10, 220, 460), target=Target.PERSON))
    assert doubt(decide(face(), detections=found)) is Doubt.COVERED


@pytest.mark.parametrize("body", [(60, 21, 220, 460), (-19, 80, 299, 460)])
def test_a_body_without_room_for_another_head_is_spared_whole(body: Box) -> None:
    assert decide(face(), person(box=body)).regions == ()


def test_a_second_body_beside_the_face_is_masked_over_the_first() -> None:
    beside = (175.0, 60.0, 300.0, 460.0)
    plan = decide(face(), person(), person(12, beside))
    assert plan.spared
    assert [region.box for region in plan.regions] == [beside]


@pytest.mark.parametrize("body", [(60, 60, 220, 180), (150, 80, 400, 460), (60, 160, 220, 460)])
def test_a_face_where_no_body_has_its_own_but_may_have_its_head_masks(body: Box) -> None:
    assert doubt(decide(face(), person(box=body))) is Doubt.COVERED


@pytest.mark.parametrize("beside", [(125, 80, 275, 460), (5, 80, 155, 460)])
def test_somebody_right_behind_whose_face_nobody_sees_is_not_taken_for_a_part_of_who_stays_visible(beside: Box) -> None:
    body = (40.0, 80.0, 240.0, 460.0)
    assert doubt(decide(face(), person(box=body), person(12, beside))) is Doubt.COVERED
    assert doubt(decide(face(), person(12, beside))) is Doubt.COVERED


def test_where_a_look_finds_two_bodies_but_not_the_face_somebody_may_stand_in_front() -> None:
    seen = make_detections(BODY, (70, 60, 230, 440), target=Target.PERSON)
    missed = face(unseen_ns=40_000_000)
    assert doubt(decide(missed, person(), person(12, (70, 60, 230, 440)), detections=seen)) is Doubt.COVERED
    assert decide(missed, person(), detections=make_detections(BODY, target=Target.PERSON)).spared


def test_a_face_before_the_legs_of_somebody_is_open_and_they_are_masked() -> None:
    plan = decide(face(), person(box=(60, -300, 220, 220)))
    assert plan.spared
    assert sorted(region.box for region in plan.regions) == [
        (60.0, -300.0, 220.0, 100.0),
        (60.0, 100.0, 100.0, 200.0),
        (60.0, 200.0, 220.0, 220.0),
        (180.0, 100.0, 220.0, 200.0),
    ]


@pytest.mark.parametrize("other", [(100, 300, 180, 400), (30, 300, 110, 400), (170, 300, 250, 400)])
def test_another_face_in_the_body_masks(other: Box) -> None:
    assert doubt(decide(face(), person(), face(2, other))) is Doubt.COVERED


def test_a_much_smaller_face_beside_is_masked_and_nobody_mistakes_it_for_this_one() -> None:
    beside = (182.0, 150.0, 210.0, 190.0)
    plan = decide(face(), person(), face(2, beside))
    assert plan.spared
    assert [region.box for region in plan.regions] == [beside]


def test_a_face_without_area_may_be_anybodys() -> None:
    flat = replace(face(), box=(100.0, 100.0, 100.0, 200.0))
    assert doubt(decide(flat, person(box=(400, 80, 500, 460)), detections=make_detections(FACE))) is Doubt.NEAR_FACE


def test_a_body_that_was_only_found_is_spared_as_well() -> None:
    found = joined(make_detections(FACE), make_detections(BODY, target=Target.PERSON))
    assert decide(face(), detections=found) == RedactionPlan(0, spared=(Spared(1, "ana", 9, FACE),))


def test_heads_are_spared_with_their_bodies_and_zones_never() -> None:
    zone = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5))
    privacy = PrivacySettings(targets=(TargetName.FACE, TargetName.HEAD), zones=(zone,))
    (region,) = decide(face(), person(), privacy=privacy).regions
    assert region.reason is Reason.ZONE


BOXES = st.tuples(st.integers(0, 500), st.integers(0, 300), st.integers(30, 200), st.integers(30, 200)).map(
    lambda at: (float(at[0]), float(at[1]), float(at[0] + at[2]), float(at[1] + at[3]))
)


@settings(max_examples=80, deadline=None)
@given(st.lists(BOXES, min_size=1, max_size=5), st.lists(BOXES, max_size=4), st.booleans())
def test_the_middle_of_every_other_face_is_masked_wherever_it_is(
    faces: list[Box], bodies: list[Box], own: bool
) -> None:
    tracks = [face(index, box) for index, box in enumerate(faces, 1)]
    tracks += [person(index, box) for index, box in enumerate(bodies, 11)]
    found = None if own else make_detections(*faces)
    plan = decide(*tracks, detections=found, privacy=FACES)
    for box in faces[1:]:
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        assert any(
            region.box[0] <= x <= region.box[2] and region.box[1] <= y <= region.box[3] for region in plan.regions
        )
    assert len(plan.spared) + len(plan.refused) == 1
