"""Whoever is not detected is looked for by how they looked, and masked wide where that does not find them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from anonymizer.track.hindsight import Hindsight
from anonymizer.track.pursuit import MOST, Pursuit, begin, follow
from anonymizer.types import U8, Frame, Planes, Target, Track, TrackState
from tests.fakes import make_frame, make_planes

Box = tuple[float, float, float, float]
STEP_NS = 40_000_000
TAIL_NS = 12 * STEP_NS
WIDE = (30.0, 30.0)
BACK = np.random.default_rng(1).integers(0, 256, (240, 320), dtype=np.uint8)


def _look(seed: int) -> U8:
    return np.asarray(
        cv2.resize(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8), (32, 32)), np.uint8
    )


LOOK, OTHER = _look(2), _look(3)
UNSURE: U8 = np.asarray(0.6 * LOOK + 0.4 * OTHER, np.uint8)  # found, but not surely


def at(x: float, y: float = 100.0) -> Box:
    return x, y, x + 32, y + 32


def scene(x: int | None, look: U8 = LOOK) -> U8:
    """Somebody at a place, or nobody."""
    luma = BACK.copy()
    if x is not None:
        luma[100:132, x : x + 32] = look
    return luma


def frame(seq: int, luma: U8) -> Frame:
    planes = make_planes(luma.shape[1], luma.shape[0])
    return make_frame(seq, planes=Planes(luma, planes.u, planes.v))


def track(box: Box, *, unseen: int = 0, track_id: int = 1, state: TrackState = TrackState.TENTATIVE) -> Track:
    """Expected there, `unseen` frames after the last sighting."""
    return Track(track_id, Target.FACE, box, 0.9, state, unseen * STEP_NS, WIDE if unseen else (0.0, 0.0))


def placed(
    pursuit: Pursuit,
    shown: Frame,
    expected: Sequence[Track],
    *,
    later: Sequence[Frame] = (),
    learnt: Sequence[Track] = (),
    is_settled: bool = True,
) -> tuple[Track, ...]:
    return pursuit.placed(shown, later, expected, learnt, is_settled=is_settled)


def played(
    pursuit: Pursuit, places: list[int | None], expected: Box, state: TrackState, look: U8 = LOOK
) -> list[Track]:
    """Seen in the first frame, then expected at a place but not detected, and perhaps not looking the same."""
    tracks: list[Track] = []
    for seq, x in enumerate(places):
        box = at(float(places[0] or 0)) if not seq else expected
        shown = scene(x, look if seq else LOOK)
        tracks += placed(pursuit, frame(seq, shown), [track(box, unseen=seq, state=state)])
    return tracks


@pytest.mark.parametrize(("across", "down"), [(40, 0), (-40, 0), (0, 40), (0, -40)])
def test_of_somebody_known_both_the_place_found_and_the_one_expected_are_masked(across: int, down: int) -> None:
    expected = at(100.0 + across, 100.0 + down)
    for each in played(Pursuit(Hindsight(0), TAIL_NS), [100] * 4, expected, TrackState.CONFIRMED, UNSURE)[1:]:
        for x1, y1, x2, y2 in (at(100), expected):
            assert each.box[0] <= x1 + 1
            assert each.box[1] <= y1 + 1
            assert each.box[2] >= x2 - 1
            assert each.box[3] >= y2 - 1


def test_whoever_moves_on_undetected_is_found_and_masked_tightly() -> None:
    places: list[int | None] = [60, 66, 74, 84, 94, 100]
    tracks = played(Pursuit(Hindsight(0), TAIL_NS), places, at(60), TrackState.TENTATIVE)
    assert [each.box[0] for each in tracks] == pytest.approx(places, abs=1.5)
    assert all(each.spread_px[0] < 5 for each in tracks)


def test_of_whoever_was_detected_twice_the_expected_place_is_masked_as_well() -> None:
    *_, last = played(Pursuit(Hindsight(0), TAIL_NS), [60, 66, 72], at(50), TrackState.COASTING, UNSURE)
    assert last.box[0] == 50
    assert last.box[2] == pytest.approx(72 + 32, abs=1.5)


@pytest.mark.parametrize("state", list(TrackState))
def test_whoever_is_surely_found_is_masked_there_alone(state: TrackState) -> None:
    *_, last = played(Pursuit(Hindsight(0), TAIL_NS), [60, 66, 72], at(40), state)
    assert last.box == pytest.approx(at(72), abs=1.5)
    assert max(last.spread_px) < 3


def test_whom_a_later_sighting_shows_elsewhere_is_looked_for_as_well() -> None:
    """It may be of somebody else, and the place between both of nobody."""
    hindsight = Hindsight(10**10)
    for seq, x in ((0, 60), (8, 160)):
        hindsight.record([track(at(x))], seq * STEP_NS)
    pursuit = Pursuit(hindsight, TAIL_NS)
    for seq in range(5):
        learnt = [each for each in hindsight.at(seq * STEP_NS, 0) if each.unseen_ns]
        masked = placed(pursuit, frame(seq, scene(60 + seq)), [track(at(60), unseen=seq)], learnt=learnt)
    assert [each.box[0] for each in masked] == [pytest.approx(64, abs=1.5), pytest.approx(110)]
    assert masked[0].spread_px[0] < 5


@pytest.mark.parametrize(("state", "excess_px"), [(TrackState.COASTING, 20.0), (TrackState.TENTATIVE, 0.0)])
def test_by_how_much_a_box_around_two_places_is_too_high_is_told(state: TrackState, excess_px: float) -> None:
    *_, last = played(Pursuit(Hindsight(0), TAIL_NS), [60, 60], (60, 120, 92, 152), state, UNSURE)
    assert last.excess_px == pytest.approx(excess_px, abs=1.5)


def test_whoever_is_lost_is_masked_wide_and_stays_lost() -> None:
    tracks = played(Pursuit(Hindsight(0), TAIL_NS), [60, 60, None, 60], at(60), TrackState.TENTATIVE)
    assert tracks[1].spread_px[0] < 5
    assert tracks[2:] == [track(at(60), unseen=2), track(at(60), unseen=3)]


def test_a_look_older_than_the_last_sighting_does_not_count() -> None:
    """The frame of that sighting was left out under load."""
    pursuit = Pursuit(Hindsight(0), TAIL_NS)
    placed(pursuit, frame(0, scene(60)), [track(at(60))])
    assert placed(pursuit, frame(4, scene(60)), [track(at(60), unseen=2)]) == (track(at(60), unseen=2),)


def test_after_the_tail_nobody_is_expected_any_more() -> None:
    pursuit = Pursuit(Hindsight(0), TAIL_NS)
    assert len(placed(pursuit, frame(0, BACK), [track(at(60), unseen=12)])) == 1
    assert placed(pursuit, frame(0, BACK), [track(at(60), unseen=13)]) == ()


@pytest.mark.parametrize(("is_recent", "count"), [(True, 1), (False, 0)])
def test_whom_the_newest_look_found_counts_in_frames_that_nobody_looked_at_however_short_the_tail(
    is_recent: bool, count: int
) -> None:
    expected = replace(track(at(60), unseen=2), is_recent=is_recent)
    assert len(placed(Pursuit(Hindsight(0), tail_ns=0), frame(2, scene(60)), [expected])) == count


def test_while_not_all_of_the_look_ahead_was_looked_at_nobody_is_gone() -> None:
    pursuit, gone = Pursuit(Hindsight(0), TAIL_NS), track(at(60), unseen=13)
    assert placed(pursuit, frame(0, BACK), [gone], is_settled=False) == (gone,)


def test_the_place_between_two_sightings_counts_beside_the_expected_one_however_long_ago_the_first_was() -> None:
    hindsight = Hindsight(10**10)
    for seq in (0, 20):
        hindsight.record([track(at(60))], seq * STEP_NS)
    learnt = hindsight.at(14 * STEP_NS, 0)
    expected = [track(at(90), unseen=14), track(at(200), track_id=2)]
    masked = placed(Pursuit(hindsight, TAIL_NS), frame(14, BACK), expected, learnt=learnt)
    assert [(each.track_id, each.box[0]) for each in masked] == [(1, 90), (2, 200), (1, 60)]


@pytest.mark.parametrize("is_settled", [True, False])
def test_of_whoever_was_followed_from_look_to_look_only_the_place_between_counts(is_settled: bool) -> None:
    hindsight = Hindsight(10**10)
    hindsight.record([track(at(60))], 0)
    hindsight.record([replace(track(at(100)), is_followed=True)], 4 * STEP_NS)
    pursuit, learnt = Pursuit(hindsight, TAIL_NS), hindsight.at(STEP_NS, 0)
    masked = placed(pursuit, frame(1, BACK), [track(at(64), unseen=1)], learnt=learnt, is_settled=is_settled)
    assert [each.box for each in masked] == [pytest.approx(at(70))]
    assert max(masked[0].spread_px) < 2


@pytest.mark.parametrize("sightings", [1, 2])
def test_whoever_is_first_seen_later_is_found_in_the_frames_before(sightings: int) -> None:
    """They come from the left; of two sightings the motion is known, and leads back to 72 as well."""
    places = [72, 78, 84, 90, 96, 102]
    frames = [frame(seq, scene(x)) for seq, x in enumerate(places)]
    hindsight = Hindsight(10**10)
    for seq in range(4, 4 + sightings):
        hindsight.record([track(at(places[seq]))], seq * STEP_NS)
    pursuit = Pursuit(hindsight, TAIL_NS)
    for seq in range(4):
        learnt = hindsight.at(seq * STEP_NS, 10**10)
        (masked,) = placed(pursuit, frames[seq], [], later=frames[seq + 1 :], learnt=learnt)
        assert masked.box[0] <= places[seq] + 1.5
        assert masked.box[2] >= places[seq] + 32 - 1.5
        assert masked.spread_px[0] < 6


def test_before_the_frame_in_which_they_are_hidden_nobody_is_found() -> None:
    frames = [frame(seq, scene(x)) for seq, x in enumerate([60, 60, None, 60, 60])]
    hindsight = Hindsight(10**10)
    hindsight.record([track(at(60))], 4 * STEP_NS)
    pursuit = Pursuit(hindsight, TAIL_NS)
    spreads = []
    for seq in range(4):
        learnt = hindsight.at(seq * STEP_NS, 10**10)
        (masked,) = placed(pursuit, frames[seq], [], later=frames[seq + 1 :], learnt=learnt)
        spreads.append(masked.spread_px[0] < 5)
    assert spreads == [False, False, False, True]


def test_more_people_than_can_be_looked_for_are_masked_wide() -> None:
    pursuit, many = Pursuit(Hindsight(0), TAIL_NS), range(MOST + 5)
    placed(pursuit, frame(0, scene(60)), [track(at(60), track_id=who) for who in many])
    masked = placed(pursuit, frame(1, scene(60)), [track(at(60), unseen=1, track_id=who) for who in many])
    assert sum(each.spread_px == WIDE for each in masked) == 5


@pytest.mark.parametrize("box", [(400.0, 10.0, 430.0, 40.0), (-90.0, 10.0, -50.0, 40.0)], ids=["right", "left"])
def test_nobody_is_looked_for_outside_the_picture(box: Box) -> None:
    assert begin(BACK, box, 0) is None
    chase = begin(scene(60), at(60), 0)
    assert chase is not None
    assert follow(replace(chase, box=box), BACK) is None


def test_a_wall_has_no_look() -> None:
    assert begin(np.full((240, 320), 128, np.uint8), at(60), 0) is None


def test_whoever_is_small_is_masked_wide() -> None:
    assert begin(scene(60), (60, 100, 60 + 10, 100 + 14), 0) is None  # 11.8 px
    assert begin(scene(60), (60, 100, 60 + 11, 100 + 14), 0) is not None


@pytest.mark.parametrize("side", [12, 16, 24, 32, 90, 180])
def test_any_size_is_found_to_a_fraction_of_its_side(side: int) -> None:
    look = cv2.resize(np.random.default_rng(3).integers(0, 256, (7, 7), dtype=np.uint8), (side, side))
    shift = max(1, side // 5)

    def picture(x: int) -> U8:
        luma = np.full((240, 320), 128, np.uint8)
        luma[20 : 20 + side, x : x + side] = look
        return luma

    chase = begin(picture(40), (40, 20, 40 + side, 20 + side), 0)
    assert chase is not None
    found = follow(chase, picture(40 + shift))
    assert found is not None
    assert found.box == pytest.approx((40 + shift, 20, 40 + shift + side, 20 + side), abs=max(0.5, 0.04 * side))
