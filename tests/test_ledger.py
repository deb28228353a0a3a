"""Who may stay visible, by votes: any doubt masks, and no vote of somebody else's ever helps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.policy import Ledger, Permit, Standing
from anonymizer.policy.ledger import (
    FRESH_NS,
    KEPT_NS,
    LONGEST_GAP_NS,
    MOST_MARKS,
    VOTES_AFTER_DOUBT,
    VOTES_TO_BEGIN,
)
from anonymizer.types import Doubt, FaceVote, Likeness, Target, Track, TrackState
from tests.fakes import make_detections

STEP_NS = 40_000_000
PERMIT = Permit(
    names=frozenset({"ana", "bob"}),
    inverted=False,
    same_distance=0.3,
    near_distance=0.35,
    other_distance=0.45,
    least_face_px=60,
)
INVERTED = replace(PERMIT, inverted=True)
HERE = (100.0, 100.0, 180.0, 200.0)
THERE = (500.0, 100.0, 580.0, 200.0)


def face(track_id: int = 1, box: tuple[float, float, float, float] = HERE, unseen_ns: int = 0) -> Track:
    state = TrackState.COASTING if unseen_ns else TrackState.CONFIRMED
    return Track(track_id, Target.FACE, box, 0.9, state, unseen_ns)


def vote(index: int = 0, /, **distances: float) -> FaceVote:
    return FaceVote(index, tuple(Likeness(name, name.upper(), distance) for name, distance in distances.items()))


ANA, NEARLY_ANA = {"ana": 0.2, "bob": 0.6}, {"ana": 0.33, "bob": 0.6}
BOB, STRANGER = {"ana": 0.6, "bob": 0.2}, {"ana": 0.6, "bob": 0.7}


class Scene:
    """One camera, a frame each 40 ms, with one face in each place."""

    def __init__(self, permit: Permit = PERMIT) -> None:
        self.ledger = Ledger(permit)
        self.at = 0

    def see(self, *said: dict[str, float] | None, tracks: Sequence[Track] = (face(),)) -> None:
        """A frame in which each track is found, and this is said of each; None: nothing is."""
        found = make_detections(*(track.box for track in tracks))
        votes = tuple(vote(index, **each) for index, each in enumerate(said) if each is not None)
        self.at += 1
        self.ledger.record(replace(found, votes=votes), tracks, self.at * STEP_NS)

    def standings(self, tracks: Sequence[Track] = (face(),), at: float | None = None) -> tuple[Standing, ...]:
        return self.ledger.standings(tracks, round((self.at if at is None else at) * STEP_NS))

    def visible(self, tracks: Sequence[Track] = (face(),), at: float | None = None) -> list[str]:
        return [standing.who for standing in self.standings(tracks, at) if standing.doubt is None]

    def doubt(self, tracks: Sequence[Track] = (face(),), at: float | None = None) -> Doubt | None:
        (standing,) = self.standings(tracks, at)
        return standing.doubt


def test_enough_agreeing_votes_leave_somebody_visible() -> None:
    scene = Scene()
    for _ in range(VOTES_TO_BEGIN - 1):
        scene.see(ANA)
        assert scene.doubt() is Doubt.FEW_VOTES
    scene.see(ANA)
    assert scene.standings() == (Standing(1, "ANA", VOTES_TO_BEGIN, None),)


def test_votes_that_came_within_the_look_ahead_count_for_the_same_unbroken_track_from_its_first_vote_on() -> None:
    scene = Scene()
    for _ in range(3):
        scene.see(None)
    for _ in range(VOTES_TO_BEGIN):
        scene.see(ANA)
    assert [scene.visible(at=at) for at in range(1, 8)] == [[], [], [], ["ANA"], ["ANA"], ["ANA"], ["ANA"]]


def test_a_frame_after_the_newest_vote_is_masked() -> None:
    scene = Scene()
    for _ in range(9):
        scene.see(ANA)
    assert scene.doubt(at=9.5) is Doubt.NO_VOTE


def test_without_votes_there_is_no_standing() -> None:
    scene = Scene()
    assert scene.standings() == ()
    scene.see(STRANGER)
    assert scene.standings() == ()
    assert scene.standings(()) == ()


@pytest.mark.parametrize(
    "said",
    [
        STRANGER,
        {"ana": math.nan, "bob": 0.2},
        {"ana": 0.2, "bob": math.inf},
        {},  # the embedder failed
        {"carl": 0.1, "ana": 0.2},  # another enrolled person, whom this camera must mask, is nearer
    ],
)
def test_one_vote_against_masks_at_once_and_more_votes_are_needed_after_it(said: dict[str, float]) -> None:
    scene = Scene()
    for _ in range(9):
        scene.see(ANA)
    scene.see(said)
    assert scene.visible() == []
    assert scene.visible(at=9) == ["ANA"]
    assert scene.doubt(at=9.5) is Doubt.DISAGREEMENT
    for _ in range(VOTES_AFTER_DOUBT - 1):
        scene.see(ANA)
        assert scene.doubt() is Doubt.FEW_VOTES
    scene.see(ANA)
    assert scene.visible() == ["ANA"]


def test_near_votes_keep_somebody_visible_for_a_while_and_never_begin() -> None:
    scene = Scene()
    for _ in range(20):
        scene.see(NEARLY_ANA)
    assert scene.visible() == []
    for _ in range(VOTES_TO_BEGIN):
        scene.see(ANA)
    for _ in range(20):
        scene.see(NEARLY_ANA)
    assert scene.visible() == ["ANA"]
    for _ in range(10):
        scene.see(NEARLY_ANA)
    assert scene.doubt() is Doubt.NO_VOTE


def test_a_face_that_is_like_two_people_is_sure_of_neither() -> None:
    scene = Scene()
    for _ in range(20):
        scene.see({"ana": 0.2, "bob": 0.22, "cem": 0.9})
    assert scene.visible() == []


def test_a_face_that_is_now_one_and_now_the_other_is_neither() -> None:
    scene = Scene()
    for _ in range(VOTES_TO_BEGIN + 3):
        scene.see(ANA)
    for _ in range(VOTES_AFTER_DOUBT - 1):
        scene.see(BOB)
    assert scene.visible() == []
    assert scene.doubt(at=VOTES_TO_BEGIN + 3.5) is Doubt.DISAGREEMENT


def test_two_faces_with_votes_for_one_person_are_both_masked() -> None:
    scene = Scene()
    tracks = (face(1, HERE), face(2, THERE))
    for _ in range(9):
        scene.see(ANA, STRANGER, tracks=tracks)
    assert scene.visible(tracks) == ["ANA"]
    scene.see(ANA, ANA, tracks=tracks)
    assert [standing.doubt for standing in scene.standings(tracks)] == [Doubt.TWO_CLAIMS, Doubt.FEW_VOTES]


def test_two_people_may_both_stay_visible() -> None:
    scene = Scene()
    tracks = (face(1, HERE), face(2, THERE))
    for _ in range(9):
        scene.see(ANA, BOB, tracks=tracks)
    assert scene.visible(tracks) == ["ANA", "BOB"]


def test_a_claim_of_a_track_that_is_lost_does_not_count() -> None:
    scene = Scene()
    for _ in range(9):
        scene.see(ANA, tracks=[face(2, THERE)])
    for _ in range(9):
        scene.see(ANA)
    lost = face(2, THERE, unseen_ns=LONGEST_GAP_NS + 1)
    assert scene.visible((face(), lost)) == ["ANA"]
    assert scene.visible((face(), face(2, THERE, unseen_ns=LONGEST_GAP_NS))) == []


def test_a_gap_between_votes_masks_what_lies_in_it_and_the_count_begins_anew() -> None:
    scene = Scene()
    for _ in range(9):
        scene.see(ANA)
    for _ in range(LONGEST_GAP_NS // STEP_NS):
        scene.see(None)
    scene.see(ANA)
    assert scene.doubt(at=12) is Doubt.NO_VOTE
    assert scene.doubt() is Doubt.FEW_VOTES


def test_somebody_near_makes_everything_said_so_far_worthless() -> None:
    scene = Scene()
    other = face(2, (190.0, 100.0, 270.0, 200.0))
    for _ in range(9):
        scene.see(ANA, None, tracks=[face(), face(2, THERE)])
    scene.see(ANA, ANA, tracks=[face(), other])
    assert scene.visible((face(), other)) == []
    for _ in range(VOTES_AFTER_DOUBT - 1):
        scene.see(ANA)
    assert scene.visible() == []


def test_a_track_that_was_lost_must_be_recognised_anew() -> None:
    scene = Scene()
    for _ in range(9):
        scene.see(ANA)
    scene.see(tracks=[face(unseen_ns=FRESH_NS + 1)])
    assert scene.doubt(at=9.5) is Doubt.DISAGREEMENT
    for _ in range(VOTES_AFTER_DOUBT - 1):
        scene.see(ANA)
    assert scene.doubt() is Doubt.FEW_VOTES


def test_with_few_looks_a_second_somebody_stays_visible_between_them() -> None:
    scene = Scene()
    for _ in range(VOTES_TO_BEGIN):
        for _ in range(8):
            scene.see(None)  # on the way to the next look, 360 ms later
        scene.see(ANA)
    between = face(unseen_ns=7 * STEP_NS)
    assert scene.doubt([between], at=scene.at - 3) is None


def test_every_place_of_a_track_must_be_large_and_sure() -> None:
    scene = Scene()
    for _ in range(9):
        scene.see(ANA)
    small = face(box=(100, 100, 150, 153))
    assert scene.doubt([face(), small]) is Doubt.SMALL
    assert scene.doubt([face(), face(unseen_ns=LONGEST_GAP_NS + 1)]) is Doubt.STALE_TRACK
    assert scene.doubt([replace(face(), state=TrackState.TENTATIVE)]) is Doubt.STALE_TRACK


def test_a_vote_about_a_detection_that_no_single_track_explains_counts_for_nobody() -> None:
    scene = Scene()
    for _ in range(9):
        scene.see(ANA, tracks=[face()])
    scene.ledger.reset()
    found = replace(make_detections((300, 300, 380, 400)), votes=(vote(**ANA),))
    for at in range(20, 40):
        scene.ledger.record(found, [face()], at * STEP_NS)
    assert scene.standings(at=39) == ()


def test_persons_have_no_standing() -> None:
    scene = Scene()
    body = replace(face(), target=Target.PERSON)
    for _ in range(9):
        scene.see(ANA, tracks=[body])
    assert scene.standings([body]) == ()


@pytest.mark.parametrize("back", [0, 3])
def test_time_that_stands_still_or_runs_backwards_makes_votes_worthless(back: int) -> None:
    scene = Scene()
    for _ in range(9):
        scene.see(ANA)
    scene.at -= 1 + back
    scene.see(ANA)
    assert scene.visible() == []


def test_nothing_is_kept_of_tracks_long_gone_and_little_of_others() -> None:
    scene = Scene()
    for _ in range(3 * MOST_MARKS):
        scene.see(ANA)
    (record,) = scene.ledger._records.values()
    assert len(record.marks) == MOST_MARKS
    scene.at += KEPT_NS // STEP_NS + 1
    scene.see(tracks=[])
    assert scene.ledger._records == {}


# --- everybody but some -----------------------------------------------------------------------------------------


def test_whoever_is_surely_none_of_the_named_stays_visible() -> None:
    scene = Scene(INVERTED)
    for _ in range(VOTES_AFTER_DOUBT - 1):
        scene.see(STRANGER)
        assert scene.visible() == []
    scene.see(STRANGER)
    assert scene.visible() == ["none of ANA, BOB"]


def test_several_may_be_none_of_the_named() -> None:
    scene = Scene(INVERTED)
    tracks = (face(1, HERE), face(2, THERE))
    for _ in range(9):
        scene.see(STRANGER, STRANGER, tracks=tracks)
    assert len(scene.visible(tracks)) == 2


@pytest.mark.parametrize("said", [{"ana": 0.6}, {}, {"ana": 0.6, "bob": math.nan}, {"ana": 0.6, "bob": 0.4}])
def test_without_a_clear_answer_about_everyone_named_everybody_is_masked(said: dict[str, float]) -> None:
    scene = Scene(INVERTED)
    for _ in range(30):
        scene.see(said)
    assert scene.visible() == []


def test_whoever_was_once_like_one_of_the_named_stays_masked() -> None:
    scene = Scene(INVERTED)
    scene.see(NEARLY_ANA)
    for _ in range(100):
        scene.see(STRANGER)
    assert scene.doubt() is Doubt.FEW_VOTES


# --- random worlds ----------------------------------------------------------------------------------------------

SAID_OF_ANA = st.sampled_from([ANA, NEARLY_ANA, STRANGER, {}, None])
SAID_OF_A_STRANGER = st.sampled_from([STRANGER, {"ana": 0.4, "bob": 0.5}, {}, {"ana": math.nan}])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), SAID_OF_ANA, SAID_OF_A_STRANGER, st.integers(0, 3)), max_size=60))
def test_whoever_takes_the_place_of_ana_on_her_track_is_never_visible(
    frames: list[tuple[bool, dict[str, float] | None, dict[str, float], int]],
) -> None:
    """Ana and a stranger swap on one track at any time; of the stranger there is a vote at least when he comes."""
    scene = Scene()
    strangers = []
    was_ana = True
    for is_ana, of_ana, of_stranger, silent in frames:
        said = of_ana if is_ana else of_stranger
        if not is_ana and not was_ana and silent:
            said = None  # he need not be looked at in every frame
        scene.see(said)
        if not is_ana:
            strangers.append(scene.at)
        was_ana = is_ana
    for at in strangers:
        assert scene.visible(at=at) == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([ANA, NEARLY_ANA, STRANGER, {"bob": 0.1, "ana": 0.2}, {}, None]), max_size=80), st.data()
)
def test_visible_means_that_the_votes_around_agree_and_that_there_are_enough(
    said: list[dict[str, float] | None], data: st.DataObject
) -> None:
    scene = Scene()
    for each in said:
        scene.see(each)
    at = data.draw(st.integers(1, max(len(said), 1)))
    if "ANA" in scene.visible(at=at):
        run = list(itertools.takewhile(lambda x: x in (ANA, NEARLY_ANA, None), reversed(said[:at])))
        run += itertools.takewhile(lambda x: x in (ANA, NEARLY_ANA, None), said[at:])
        assert run.count(ANA) >= VOTES_TO_BEGIN
        assert any(each is not None for each in said[max(at - 13, 0) : at])
        assert any(each is not None for each in said[at - 1 : at + 13])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([ANA, STRANGER, {}, None]), min_size=3, max_size=3), max_size=40),
    st.lists(st.integers(0, 600), min_size=3, max_size=3),
)
def test_no_two_are_ever_visible_as_one_person(said: list[list[dict[str, float] | None]], places: list[int]) -> None:
    scene = Scene()
    tracks = [face(index, (x, 100.0, x + 80.0, 200.0)) for index, x in enumerate(places)]
    for each in said:
        scene.see(*each, tracks=tracks)
    for at in range(1, scene.at + 1):
        visible = scene.visible(tracks, at=at)
        assert len(visible) == len(set(visible))
        shown = [standing.track_id for standing in scene.standings(tracks, at) if standing.doubt is None]
        assert not any(abs(places[a] - places[b]) < 100 for a, b in itertools.combinations(shown, 2))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["ana", "bob", "eve"]), st.floats(), max_size=3), max_size=40))
def test_no_numbers_break_it(said: list[dict[str, float]]) -> None:
    for permit in (PERMIT, INVERTED):
        scene = Scene(permit)
        for each in said:
            scene.see(each)
        for standing in scene.standings():
            assert standing.votes <= len(said)
