"""Hindsight: what later sightings tell about frames that are still held."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from anonymizer.policy import SPREAD_SIGMAS
from anonymizer.settings.schema import TrackSettings
from anonymizer.track import hindsight as looking_back
from anonymizer.track.hindsight import MAX_SIGHTINGS, Hindsight, Sighting
from anonymizer.track.motion import SPREAD_LIMIT
from anonymizer.track.tracker import Tracker
from anonymizer.types import Target, Track, TrackState
from tests.fakes import make_detections

Box = tuple[float, float, float, float]
FRAME_NS = 40_000_000
SECOND_NS = 1_000_000_000


def seen_at(
    frame: float,
    x: float,
    *,
    width: float = 40.0,
    height: float = 50.0,
    track_id: int = 1,
    target: Target = Target.FACE,
) -> Sighting:
    track = Track(track_id, target, (x, 100.0, x + width, 100.0 + height), 0.9, TrackState.CONFIRMED, 0)
    return Sighting(round(frame * FRAME_NS), track)


def backwards(sightings: list[Sighting], pts_ns: int) -> Track:
    (track,) = looking_back.backwards([sightings], pts_ns)
    return track


def between(before: Sighting, after: Sighting, pts_ns: int) -> Track:
    (track,) = looking_back.between([(before, after)], pts_ns)
    return track


def masked(track: Track, margin: float = 0.0) -> Box:
    """What the policy masks of it."""
    x1, y1, x2, y2 = track.box
    grow_x = margin * (x2 - x1) + SPREAD_SIGMAS * track.spread_px[0] * bool(track.unseen_ns)
    grow_y = margin * (y2 - y1) + SPREAD_SIGMAS * track.spread_px[1] * bool(track.unseen_ns)
    return x1 - grow_x, y1 - grow_y, x2 + grow_x, y2 + grow_y


def contains(outer: Box, inner: Box) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


# Before the first sighting


def test_the_direction_of_later_sightings_tells_where_it_came_from() -> None:
    track = backwards([seen_at(10 + i, 100 + 5 * i) for i in range(5)], 6 * FRAME_NS)
    assert track.box[0] == pytest.approx(80, abs=4)
    assert track.unseen_ns == 4 * FRAME_NS
    assert track.state is TrackState.COASTING


def test_a_single_sighting_leaves_the_direction_open_and_the_mask_wide() -> None:
    once = backwards([seen_at(10, 100)], 8 * FRAME_NS)
    often = backwards([seen_at(10 + i, 100) for i in range(8)], 8 * FRAME_NS)
    assert once.box == (100, 100, 140, 150)
    assert once.spread_px[0] > 2 * often.spread_px[0]


def test_an_unconfirmed_track_stays_unconfirmed() -> None:
    alone = seen_at(10, 100)
    tentative = Sighting(alone.pts_ns, replace(alone.track, state=TrackState.TENTATIVE))
    assert backwards([tentative], 0).state is TrackState.TENTATIVE


def test_whoever_comes_closer_is_not_smaller_before_the_first_sighting() -> None:
    track = backwards([seen_at(10 + i, 100 - i, width=40 + 2 * i, height=50 + 2 * i) for i in range(8)], 5 * FRAME_NS)
    assert track.box[2] - track.box[0] >= 40 - 1e-6


def test_nobody_comes_from_nowhere() -> None:
    assert looking_back.backwards([], 0) == looking_back.between([], 0) == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.floats(-20, 20)), min_size=1, max_size=5))
def test_many_tracks_are_looked_back_on_as_each_alone(people: list[tuple[int, float]]) -> None:
    histories = [
        [seen_at(50 + who + 2 * i, 500 + step * i, track_id=who) for i in range(count)]
        for who, (count, step) in enumerate(people)
    ]
    for track, history in zip(looking_back.backwards(histories, 45 * FRAME_NS), histories, strict=True):
        alone = backwards(history, 45 * FRAME_NS)
        assert (track.track_id, track.unseen_ns) == (alone.track_id, alone.unseen_ns)
        assert track.box == pytest.approx(alone.box)
        assert track.spread_px == pytest.approx(alone.spread_px)


@settings(deadline=None)
@given(st.integers(1, 8), st.floats(-20, 20), st.lists(st.integers(0, SECOND_NS), min_size=2, max_size=6))
def test_the_further_back_the_wider_within_the_limit(count: int, step_px: float, backs_ns: list[int]) -> None:
    sightings = [seen_at(50 + i, 500 + step_px * i) for i in range(count)]
    spreads = [backwards(sightings, 50 * FRAME_NS - 1 - back).spread_px for back in sorted(backs_ns)]
    assert spreads == sorted(spreads)
    assert all(spread[0] <= SPREAD_LIMIT * 60 for spread in spreads)


# Between two sightings


def unsure_at_the_ends(target: Target) -> tuple[Sighting, Sighting]:
    ends = (seen_at(0, 100, target=target), (9.0, 7.0)), (seen_at(10, 140, target=target), (5.0, 3.0))
    before, after = (replace(each, track=replace(each.track, spread_px=spread)) for each, spread in ends)
    return before, after


def test_right_beside_a_sighting_a_person_is_as_unsure_as_the_sighting_was() -> None:
    before, after = unsure_at_the_ends(Target.PERSON)
    first, last = between(before, after, 1), between(before, after, 10 * FRAME_NS - 2)
    assert first.spread_px == pytest.approx((9, 7), rel=1e-3)
    assert last.spread_px == pytest.approx((5, 3), rel=1e-3)
    assert (first.unseen_ns, last.unseen_ns) == (1, 2)


def test_right_beside_a_sighting_a_face_is_where_it_was_seen() -> None:
    before, after = unsure_at_the_ends(Target.FACE)
    first, middle, last = (between(before, after, at_ns) for at_ns in (1, 5 * FRAME_NS, 10 * FRAME_NS - 2))
    assert first.spread_px == pytest.approx((0, 0), abs=1e-3)
    assert last.spread_px == pytest.approx((0, 0), abs=1e-3)
    assert min(middle.spread_px) > 0.5


def test_of_two_gaps_at_once_each_goes_by_its_kind() -> None:
    gaps = [unsure_at_the_ends(Target.FACE), unsure_at_the_ends(Target.PERSON)]
    face, person = looking_back.between(gaps, 1)
    assert face.spread_px == pytest.approx((0, 0), abs=1e-3)
    assert person.spread_px == pytest.approx((9, 7), rel=1e-3)


def test_between_two_sightings_lies_the_straight_line() -> None:
    track = between(seen_at(10, 100), seen_at(20, 200, width=60), 15 * FRAME_NS)
    assert track.box == pytest.approx((150, 100, 200, 150))
    assert track.unseen_ns == 5 * FRAME_NS
    assert track.state is TrackState.COASTING


@settings(deadline=None)
@given(st.integers(2, 50), st.data())
def test_the_middle_of_a_gap_is_the_least_certain_and_both_halves_are_alike(gap: int, data: st.DataObject) -> None:
    before, after = seen_at(0, 100), seen_at(gap, 100)
    share = data.draw(st.floats(0.05, 0.5))
    early = between(before, after, round(share * gap * FRAME_NS))
    late = between(before, after, round((1 - share) * gap * FRAME_NS))
    middle = between(before, after, round(0.5 * gap * FRAME_NS))
    assert early.spread_px == pytest.approx(late.spread_px, rel=1e-3)
    assert middle.spread_px[0] >= early.spread_px[0] * 0.999


def test_a_longer_gap_is_less_certain() -> None:
    spreads = [between(seen_at(0, 100), seen_at(gap, 100), gap * FRAME_NS // 2).spread_px[0] for gap in (2, 10, 25, 50)]
    assert spreads == sorted(spreads)


# All tracks of a camera


def test_nobody_is_known_before_anything_was_recorded() -> None:
    assert Hindsight(SECOND_NS).at(0, SECOND_NS) == ()


def test_a_track_that_coasts_is_no_sighting() -> None:
    hindsight, sighting = Hindsight(SECOND_NS), seen_at(0, 100)
    hindsight.record([replace(sighting.track, unseen_ns=1)], 0)
    assert hindsight.at(0, SECOND_NS) == ()


def test_each_held_frame_gets_its_sighting_its_line_or_its_way_back() -> None:
    hindsight = Hindsight(SECOND_NS)
    for sighting in (seen_at(10, 100), seen_at(14, 140)):
        hindsight.record([sighting.track], sighting.pts_ns)
    (exact,), (line,), (back,) = (hindsight.at(frame * FRAME_NS, SECOND_NS) for frame in (14, 12, 8))
    assert (exact.box[0], exact.unseen_ns) == (140, 0)
    assert line.box[0] == pytest.approx(120)
    assert back.box[0] == pytest.approx(80, abs=10)


def test_after_its_last_sighting_hindsight_says_nothing() -> None:
    hindsight = Hindsight(SECOND_NS)
    hindsight.record([seen_at(10, 100).track], 10 * FRAME_NS)
    assert hindsight.at(10 * FRAME_NS + 1, SECOND_NS) == ()


def test_the_way_back_ends_at_its_reach() -> None:
    hindsight = Hindsight(SECOND_NS)
    hindsight.record([seen_at(10, 100).track], 10 * FRAME_NS)
    assert len(hindsight.at(6 * FRAME_NS, 4 * FRAME_NS)) == 1
    assert hindsight.at(6 * FRAME_NS - 1, 4 * FRAME_NS) == ()


def test_the_newest_sighting_before_the_span_is_kept_so_that_nobody_seems_to_be_born() -> None:
    hindsight = Hindsight(5 * FRAME_NS)
    for frame in (0, 3, 9):
        hindsight.record([seen_at(frame, 100 + 10 * frame).track], frame * FRAME_NS)
    assert [track.box[0] for track in hindsight.at(2 * FRAME_NS, 0)] == []
    assert [track.box[0] for track in hindsight.at(6 * FRAME_NS, 0)] == pytest.approx([160])


def test_whoever_was_not_seen_for_the_span_is_forgotten() -> None:
    hindsight = Hindsight(5 * FRAME_NS)
    hindsight.record([seen_at(0, 100, track_id=1).track], 0)
    hindsight.record([seen_at(6, 100, track_id=2).track], 6 * FRAME_NS)
    assert [track.track_id for track in hindsight.at(0, SECOND_NS)] == [2]


def test_sightings_are_bounded_and_time_that_stands_still_adds_none() -> None:
    hindsight = Hindsight(10**15)
    for frame in range(3 * MAX_SIGHTINGS):
        hindsight.record([seen_at(frame, 100.0 + frame).track], frame * FRAME_NS)
        hindsight.record([seen_at(frame, 100.0 + frame).track], frame * FRAME_NS)
    oldest = 2 * MAX_SIGHTINGS
    assert hindsight.at(oldest * FRAME_NS, 0)[0].box[0] == 100 + oldest
    assert hindsight.at((oldest - 1) * FRAME_NS, 0) == ()


def test_after_a_reset_nobody_is_known() -> None:
    hindsight = Hindsight(SECOND_NS)
    hindsight.record([seen_at(10, 100).track], 10 * FRAME_NS)
    hindsight.reset()
    assert hindsight.at(10 * FRAME_NS, SECOND_NS) == ()


# Property: whoever walks straight on is covered in every held frame


@settings(max_examples=80, deadline=None)
@given(
    target=st.sampled_from(Target),
    width=st.floats(10, 200),
    aspect=st.floats(1, 3),
    direction=st.floats(0, 2 * math.pi),
    speed=st.floats(0, 1),
    fps=st.sampled_from([5, 10, 15, 25, 30]),
    jitter=st.floats(0, 0.03),
    missed=st.lists(st.booleans(), min_size=60, max_size=60),
    seed=st.integers(0, 1000),
)
def test_somebody_who_walks_straight_on_is_covered_before_the_first_sighting_and_through_every_gap(
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
    """`speed` is in box heights a second; the detector misses as drawn, up to a second in a row, also at the start.

    A frame in which it does not is masked where it saw them, whatever the track says.
    """
    height, frame_ns, rng = width * aspect, round(1e9 / fps), np.random.default_rng(seed)
    tracker, hindsight = Tracker(TrackSettings(), SECOND_NS), Hindsight(3 * SECOND_NS)
    path: list[Box] = []
    seen: list[int] = []
    ids: set[int] = set()
    for i, is_missed in enumerate(missed[: 2 * fps]):
        shift = speed * height * i / fps
        x, y = 500 + shift * math.cos(direction), 500 + shift * math.sin(direction)
        path.append((x, y, x + width, y + height))
        noisy = np.array(path[-1]) + rng.uniform(-jitter, jitter, 4) * width
        found = make_detections(target=target) if is_missed else make_detections(tuple(noisy), target=target)
        tracks = tracker.update(found, i * frame_ns)
        hindsight.record(tracks, i * frame_ns)
        seen += [] if is_missed else [i]
        ids |= {track.track_id for track in tracks}
    assume(seen)
    gaps = np.diff(seen, prepend=0)
    assume(gaps.max() * frame_ns <= SECOND_NS)
    assume(len(ids) == 1)
    for i in set(range(seen[-1])) - set(seen):
        assert any(contains(masked(track, 0.1), path[i]) for track in hindsight.at(i * frame_ns, SECOND_NS))
