"""The tracker: a mask holds through misses, and ends when it should."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.errors import InvalidOutputError
from anonymizer.policy import SPREAD_SIGMAS
from anonymizer.settings.schema import TrackSettings
from anonymizer.track.tracker import MAX_TRACKS, Tracker
from anonymizer.types import Detections, Target, Track, TrackState
from tests.fakes import make_detections

Box = tuple[float, float, float, float]
FRAME_NS = 40_000_000
HOLD_NS = 1_000_000_000


def new_tracker(hold_ns: int = HOLD_NS) -> Tracker:
    return Tracker(TrackSettings(), hold_ns)


def at(x: float, y: float = 100.0, width: float = 40.0, height: float = 50.0) -> Box:
    return x, y, x + width, y + height


def only(tracks: tuple[Track, ...]) -> Track:
    (one,) = tracks
    return one


def fed(tracker: Tracker, count: int = 10, step_px: float = 3.0) -> Tracker:
    """After this an object has moved `count` frames; its box in frame i starts at x = 100 + i * step_px."""
    for frame in range(count):
        tracker.update(make_detections(at(100 + frame * step_px)), frame * FRAME_NS)
    return tracker


# What comes out


def test_before_any_update_there_is_nobody() -> None:
    assert new_tracker().predict(0) == ()


def test_an_update_without_detections_gives_no_tracks() -> None:
    assert new_tracker().update(make_detections(), 0) == ()


def test_a_detection_starts_a_tentative_track_at_once() -> None:
    track = only(new_tracker().update(make_detections(at(100), score=0.8), 0))
    assert (track.state, track.target, track.unseen_ns) == (TrackState.TENTATIVE, Target.FACE, 0)
    assert track.box == at(100)
    assert track.score == pytest.approx(0.8)


def test_a_track_is_confirmed_by_a_second_detection_and_coasts_without_one() -> None:
    tracker = fed(new_tracker(), 2)
    assert only(tracker.predict(FRAME_NS)).state is TrackState.CONFIRMED
    coasting = only(tracker.update(make_detections(), 2 * FRAME_NS))
    assert (coasting.state, coasting.unseen_ns) == (TrackState.COASTING, FRAME_NS)


@pytest.mark.parametrize(
    ("boxes", "is_followed"),
    [
        ([at(100)], False),
        ([at(100), at(110)], True),
        ([at(100), at(103), at(106)], True),
        ([at(100), at(116)], False),
        ([at(100), None, at(100)], False),
        ([at(100), None, at(100), at(100)], True),
    ],
    ids=["first seen", "seen twice", "moving on", "found elsewhere", "missed between", "after a miss"],
)
def test_who_two_looks_running_find_where_the_first_led_to_expect_them_is_followed(
    boxes: list[Box | None], is_followed: bool
) -> None:
    tracker = new_tracker()
    for number, box in enumerate(boxes):
        tracks = tracker.update(make_detections(*([] if box is None else [box])), 3 * number * FRAME_NS)
    assert len(tracks) == 1
    assert tracks[0].is_followed is is_followed


def test_each_of_many_is_followed_or_not_on_their_own() -> None:
    tracker = new_tracker()
    tracker.update(make_detections(at(100), at(300), at(500)), 0)
    tracks = tracker.update(make_detections(at(620), at(501), at(100), at(316)), FRAME_NS)
    assert [(round(track.box[0]), track.is_followed) for track in sorted(tracks, key=lambda track: track.box[0])] == [
        (100, True),
        (315, False),
        (501, True),
        (620, False),
    ]


def test_an_id_stays_while_the_object_moves() -> None:
    tracker = new_tracker()
    ids = {only(tracker.update(make_detections(at(100 + 5 * i)), i * FRAME_NS)).track_id for i in range(50)}
    assert len(ids) == 1


def test_ids_are_never_used_again_after_a_reset() -> None:
    tracker = new_tracker()
    before = only(tracker.update(make_detections(at(100)), 0)).track_id
    tracker.reset()
    assert tracker.predict(0) == ()
    assert only(tracker.update(make_detections(at(100)), 0)).track_id > before


def test_two_objects_that_pass_each_other_keep_their_ids() -> None:
    tracker, seen = new_tracker(), []
    for i in range(40):
        tracks = tracker.update(make_detections(at(100 + 8 * i, y=100), at(420 - 8 * i, y=130)), i * FRAME_NS)
        seen.append(sorted((round(track.box[1]), track.track_id) for track in tracks))
    assert [track_id for _, track_id in seen[0]] == [track_id for _, track_id in seen[-1]]


def test_a_small_fast_face_at_five_detections_a_second_stays_one_track() -> None:
    """12 px wide, 60 px a second: at 200 ms a detection, two boxes in a row do not overlap."""
    tracker = new_tracker()
    for i in range(10):
        tracks = tracker.update(make_detections(at(100 + 13 * i, width=12, height=15)), i * 200_000_000)
    assert len([track for track in tracks if track.unseen_ns == 0]) == 1
    assert len({track.track_id for track in tracks}) <= 2


def test_a_face_on_a_person_are_two_tracks() -> None:
    both = make_detections(at(100), at(100))
    both = replace(both, class_ids=np.array([Target.FACE, Target.PERSON], np.int32))
    tracker = new_tracker()
    tracker.update(both, 0)
    assert {track.target for track in tracker.update(both, FRAME_NS)} == {Target.FACE, Target.PERSON}


def test_a_weak_detection_starts_a_track_as_well() -> None:
    """Its score wavers around the detector's threshold: in the next frame it may be missing."""
    tracker = new_tracker()
    tracker.update(make_detections(at(100), score=0.3), 0)
    assert len(tracker.predict(FRAME_NS)) == 1


# Time


def test_a_track_is_held_exactly_as_long_as_configured() -> None:
    tracker = fed(new_tracker())
    last = 9 * FRAME_NS
    tracker.update(make_detections(), last + FRAME_NS)
    assert len(tracker.predict(last + HOLD_NS)) == 1
    assert tracker.predict(last + HOLD_NS + 1) == ()


def test_a_hold_of_zero_shows_tracks_until_somebody_looks_again() -> None:
    tracker = new_tracker(hold_ns=0)
    assert len(tracker.update(make_detections(at(100)), 0)) == 1
    assert len(tracker.predict(1)) == 1
    assert tracker.update(make_detections(), 1) == ()


@pytest.mark.parametrize("score", [0.3, 0.9])
def test_whom_the_newest_look_saw_stays_masked_however_long_nobody_looks_again(score: float) -> None:
    """A detector slower than the hold time is no reason to leave anybody bare."""
    tracker = new_tracker()
    tracker.update(make_detections(at(100), score=score), 0)
    track = only(tracker.predict(3 * HOLD_NS))
    assert track.box == pytest.approx(at(100))
    assert track.unseen_ns == 3 * HOLD_NS


def test_a_prediction_tells_whom_the_newest_look_saw() -> None:
    tracker = new_tracker()
    tracker.update(make_detections(at(100), at(300)), 0)
    tracker.update(make_detections(at(100)), FRAME_NS)
    assert {track.box[0]: track.is_recent for track in tracker.predict(2 * FRAME_NS)} == {100: True, 300: False}
    assert not any(track.is_recent for track in tracker.predict(FRAME_NS))


def test_after_a_gap_longer_than_the_hold_nobody_is_known_any_more() -> None:
    tracker = fed(new_tracker())
    old = only(tracker.predict(9 * FRAME_NS)).track_id
    assert only(tracker.update(make_detections(at(130)), 9 * FRAME_NS + HOLD_NS + 1)).track_id != old


def test_a_prediction_changes_nothing() -> None:
    tracker = fed(new_tracker())
    now = tracker.predict(9 * FRAME_NS)
    for step_ns in (1, HOLD_NS, 10 * HOLD_NS, -FRAME_NS, -10 * HOLD_NS):
        tracker.predict(9 * FRAME_NS + step_ns)
    assert tracker.predict(9 * FRAME_NS) == now


def test_a_prediction_for_the_frame_of_the_update_is_the_update() -> None:
    tracker = fed(new_tracker())
    updated = tracker.update(make_detections(at(130), at(300)), 10 * FRAME_NS)
    assert tracker.predict(10 * FRAME_NS) == tuple(replace(track, is_followed=False) for track in updated)


def test_a_frame_just_before_the_update_is_covered_as_well() -> None:
    tracker = fed(new_tracker())
    track = only(tracker.predict(7 * FRAME_NS))
    assert track.unseen_ns == 2 * FRAME_NS
    assert track.box[0] == pytest.approx(121, abs=3)


def test_a_frame_long_before_the_update_knows_nobody() -> None:
    assert fed(new_tracker()).predict(9 * FRAME_NS - HOLD_NS - 1) == ()


@pytest.mark.parametrize("pts_ns", [9 * FRAME_NS, 0, -(10**15)], ids=["stands still", "steps back", "jumps far back"])
def test_when_the_pts_does_not_advance_masks_stay_where_they_were(pts_ns: int) -> None:
    tracker = fed(new_tracker())
    track = only(tracker.update(make_detections(), pts_ns))
    assert track.box[0] == pytest.approx(127, abs=5)
    assert 0 < track.unseen_ns <= FRAME_NS
    assert len(tracker.predict(pts_ns + FRAME_NS)) == 1


def test_a_jump_far_ahead_is_safe() -> None:
    tracker = fed(new_tracker())
    assert tracker.update(make_detections(), 10**18) == ()
    assert tracker.predict(10**18) == ()


# Growth


def test_the_spread_grows_with_time_but_not_without_limit() -> None:
    tracker = fed(new_tracker())
    spreads = [only(tracker.predict(9 * FRAME_NS + step)).spread_px[0] for step in range(0, HOLD_NS + 1, HOLD_NS // 10)]
    assert spreads == sorted(spreads)
    assert spreads[0] < 4
    assert 4 * spreads[0] < spreads[-1] <= 25 * 1.1


def test_whoever_is_not_seen_does_not_become_smaller() -> None:
    tracker = new_tracker()
    for i in range(10):
        tracker.update(make_detections(at(100, width=60 - 2 * i, height=80 - 2 * i)), i * FRAME_NS)
    sides = [only(tracker.update(make_detections(), i * FRAME_NS)).box for i in range(10, 30)]
    widths = [box[2] - box[0] for box in sides]
    assert min(widths) == pytest.approx(widths[0])
    ahead = only(tracker.predict(30 * FRAME_NS)).box
    assert ahead[2] - ahead[0] == pytest.approx(widths[-1])


def test_a_face_in_front_that_is_missed_stays_masked_while_one_behind_it_is_found() -> None:
    tracker = new_tracker()
    near, far = (100.0, 100.0, 150.0, 160.0), (118.0, 120.0, 138.0, 146.0)
    for i in range(5):
        tracker.update(make_detections(near), i * FRAME_NS)
    tracks = tracker.update(make_detections(far), 5 * FRAME_NS)
    assert any(track.unseen_ns and contains(track, near, 0.0) for track in tracks)
    assert any(not track.unseen_ns and track.box == pytest.approx(far) for track in tracks)


def test_somebody_who_comes_in_front_of_whom_they_hide_starts_a_track_that_covers_them() -> None:
    tracker = new_tracker()
    far, near = (118.0, 120.0, 138.0, 146.0), (100.0, 100.0, 150.0, 160.0)
    for i in range(5):
        tracker.update(make_detections(far), i * FRAME_NS)
    tracker.update(make_detections(near), 5 * FRAME_NS)
    assert any(contains(track, near, 0.0) for track in tracker.predict(6 * FRAME_NS))


@pytest.mark.parametrize(("times", "stays"), [(1, False), (2, True)])
def test_where_somebody_was_expected_stays_masked_if_their_track_goes_on_elsewhere(times: int, stays: bool) -> None:
    tracker = new_tracker()
    first, other = at(100), at(128)
    for i in range(times):
        tracker.update(make_detections(first), i * FRAME_NS)
    tracks = tracker.update(make_detections(other), times * FRAME_NS)
    assert any(track.unseen_ns and contains(track, first, 0.0) for track in tracks) == stays
    assert any(track.track_id == 1 and not track.unseen_ns for track in tracks)
    assert len({track.track_id for track in tracks}) == len(tracks)


@settings(max_examples=100, deadline=None)
@given(
    sides=st.lists(st.floats(4, 300), min_size=1, max_size=5),
    step_ms=st.integers(20, 500),
)
def test_in_the_very_look_that_misses_somebody_they_do_not_become_smaller_however_they_shrank(
    sides: list[float], step_ms: int
) -> None:
    tracker = new_tracker()
    seen: tuple[Track, ...] = ()
    for i, side in enumerate(sides):
        seen = tracker.update(
            make_detections((300 - side, 300 - side, 300 + side, 300 + side)), i * step_ms * 1_000_000
        )
    after = tracker.update(make_detections(), len(sides) * step_ms * 1_000_000)
    before = {track.track_id: track.box for track in seen}
    for track in after:
        box, was = track.box, before[track.track_id]
        assert box[2] - box[0] >= was[2] - was[0] - 1e-3
        assert box[3] - box[1] >= was[3] - was[1] - 1e-3


def test_whoever_comes_closer_goes_on_growing_while_unseen() -> None:
    tracker = new_tracker()
    for i in range(10):
        tracker.update(make_detections(at(100, width=40 + 2 * i, height=50 + 2 * i)), i * FRAME_NS)
    now, later = only(tracker.predict(9 * FRAME_NS)).box, only(tracker.predict(14 * FRAME_NS)).box
    assert later[2] - later[0] > now[2] - now[0] + 4


# Property: a mask holds


def contains(outer: Track, inner: Box, margin: float) -> bool:
    x1, y1, x2, y2 = outer.box
    grow_x = margin * (x2 - x1) + SPREAD_SIGMAS * outer.spread_px[0]
    grow_y = margin * (y2 - y1) + SPREAD_SIGMAS * outer.spread_px[1]
    return x1 - grow_x <= inner[0] and y1 - grow_y <= inner[1] and x2 + grow_x >= inner[2] and y2 + grow_y >= inner[3]


@settings(max_examples=60, deadline=None)
@given(
    target=st.sampled_from(Target),
    width=st.floats(10, 200),
    aspect=st.floats(1, 3),
    direction=st.floats(0, 2 * math.pi),
    speed=st.floats(0, 1),
    fps=st.sampled_from([5, 10, 15, 25, 30]),
    jitter=st.floats(0, 0.03),
    missed=st.lists(st.booleans(), min_size=40, max_size=40),
    seed=st.integers(0, 1000),
)
def test_somebody_who_walks_straight_on_stays_covered_through_any_misses_within_the_hold(
    target: Target,
    width: float,
    aspect: float,
    direction: float,
    speed: float,
    fps: int,
    jitter: float,
    missed: list[bool],
    seed: int,
) -> None:
    """`speed` is in box heights a second; the first eight frames are seen, then misses as drawn."""
    height, frame_ns, rng = width * aspect, round(1e9 / fps), np.random.default_rng(seed)
    tracker, last_seen, ids = new_tracker(), 0, set()
    for i in range(8 + len(missed)):
        shift = speed * height * i / fps
        truth = at(500 + shift * math.cos(direction), 500 + shift * math.sin(direction), width, height)
        is_missed = i >= 8 and missed[i - 8]
        noisy = np.array(truth) + rng.uniform(-jitter, jitter, 4) * width
        found = make_detections(target=target) if is_missed else make_detections(tuple(noisy), target=target)
        if (i - last_seen) * frame_ns > HOLD_NS:
            break
        last_seen = last_seen if is_missed else i
        tracks = tracker.update(found, i * frame_ns)
        assert any(contains(track, truth, margin=0.1) for track in tracks)
        ids |= {track.track_id for track in tracks}
    assert len(ids) == 1


# Broken input


@pytest.mark.parametrize(
    "broken",
    [
        make_detections((math.nan, 0, 1, 1)),
        make_detections((0, 0, math.inf, 1)),
        make_detections(at(100), score=math.nan),
        replace(make_detections(at(100)), class_ids=np.array([9], np.int32)),
    ],
    ids=["NaN box", "infinite box", "NaN score", "unknown class"],
)
def test_impossible_detections_are_refused_and_leave_the_tracks_alone(broken: Detections) -> None:
    tracker = fed(new_tracker())
    before = tracker.predict(9 * FRAME_NS)
    with pytest.raises(InvalidOutputError, match="camera cam"):
        tracker.update(broken, 10 * FRAME_NS)
    assert tracker.predict(9 * FRAME_NS) == before


def test_a_box_without_extent_is_tracked_as_one_pixel() -> None:
    assert only(new_tracker().update(make_detections((5, 5, 5, 5)), 0)).box == (4.5, 4.5, 5.5, 5.5)


def test_a_detector_gone_wild_does_not_grow_the_tracks_without_bound() -> None:
    rng, tracker = np.random.default_rng(0), new_tracker()
    for i in range(5):
        corners = rng.uniform(0, 100_000, (400, 2)).astype(np.float32)
        boxes = [(x, y, x + 5, y + 5) for x, y in corners.tolist()]
        tracks = tracker.update(make_detections(*boxes), i * FRAME_NS)
    assert len(tracks) == MAX_TRACKS
    assert sum(track.unseen_ns == 0 for track in tracks) == 400
