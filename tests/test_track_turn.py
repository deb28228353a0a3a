"""Tracks turn with the camera: only what people do themselves counts as motion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.pose import STILL, Pose
from anonymizer.settings.schema import TrackSettings
from anonymizer.track.hindsight import Hindsight
from anonymizer.track.tracker import Tracker
from anonymizer.types import Track
from tests.fakes import make_detections

Box = tuple[float, float, float, float]
FRAME_NS = 40_000_000
HOLD_NS = 1_000_000_000
FACE: Box = (300.0, 100.0, 340.0, 150.0)


def turned(box: Box, pose: Pose) -> Box:
    x1, y1, x2, y2 = (pose.scale * side for side in box)
    return x1 + pose.dx, y1 + pose.dy, x2 + pose.dx, y2 + pose.dy


def pan(frame: int) -> Pose:
    """A camera that turns by 12 pixels a frame."""
    return Pose(dx=-12.0 * frame)


def zoom(frame: int) -> Pose:
    return Pose(1.02**frame, -8.0 * frame, 0.0)


def followed(poses: list[Pose], known: list[Pose], every: int = 1) -> Tracker:
    """Somebody who stands still, seen by a camera with such poses of which only the `known` ones are told."""
    tracker = Tracker(TrackSettings(), HOLD_NS)
    for frame in range(0, len(poses), every):
        tracker.update(make_detections(turned(FACE, poses[frame])), frame * FRAME_NS, known[frame])
    return tracker


def only(tracks: tuple[Track, ...]) -> Track:
    (one,) = tracks
    return one


@pytest.mark.parametrize("camera", [pan, zoom])
def test_somebody_who_stands_is_expected_where_the_camera_shows_them_then(camera: type[Pose]) -> None:
    poses = [camera(frame) for frame in range(9)]
    tracker = followed(poses, poses)
    later = camera(14)
    track = only(tracker.predict(14 * FRAME_NS, later))
    assert track.box == pytest.approx(turned(FACE, later), abs=2.0)


def test_one_sighting_is_enough_to_follow_the_camera() -> None:
    tracker = followed([pan(0)], [pan(0)])
    moved, stood = (tracker.predict(5 * FRAME_NS, pose) for pose in (pan(5), STILL))
    assert only(moved).box == pytest.approx(turned(FACE, pan(5)))
    assert only(stood).box == pytest.approx(FACE)
    assert only(moved).spread_px == only(stood).spread_px


def test_few_looks_at_a_turning_camera_are_one_track_where_its_motion_is_known() -> None:
    poses = [pan(frame) for frame in range(25)]
    known = followed(poses, poses, every=6)
    unknown = followed(poses, [STILL] * 25, every=6)
    assert len(known.predict(25 * FRAME_NS, pan(25))) == 1
    assert len(unknown.predict(25 * FRAME_NS)) > 1


def test_a_missed_face_is_as_wide_as_the_zoom_makes_it() -> None:
    poses = [zoom(frame) for frame in range(20)]
    tracker = followed(poses[:5], poses[:5])
    for frame in range(5, 20):
        tracker.update(make_detections(), frame * FRAME_NS, poses[frame])
    x1, _, x2, _ = only(tracker.predict(19 * FRAME_NS, poses[19])).box
    assert x2 - x1 == pytest.approx(40 * poses[19].scale, rel=0.05)


def test_nobody_is_expected_elsewhere_because_nobody_was_there() -> None:
    tracker = Tracker(TrackSettings(), HOLD_NS)
    tracker.update(make_detections(), 0, pan(0))
    tracker.update(make_detections(FACE), FRAME_NS, pan(9))
    assert only(tracker.predict(FRAME_NS, pan(9))).box == pytest.approx(FACE)


def test_a_forgotten_view_does_not_turn_the_next_one() -> None:
    tracker = followed([pan(9)], [pan(9)])
    tracker.reset()
    tracker.update(make_detections(FACE), 0)
    assert only(tracker.predict(0)).box == pytest.approx(FACE)


# Hindsight


def remembered(camera: type[Pose], frames: list[int]) -> Hindsight:
    hindsight, tracker = Hindsight(3 * HOLD_NS), Tracker(TrackSettings(), HOLD_NS)
    for frame in frames:
        pose = camera(frame)
        tracks = tracker.update(make_detections(turned(FACE, pose)), frame * FRAME_NS, pose)
        hindsight.record(tracks, frame * FRAME_NS, pose)
    return hindsight


@pytest.mark.parametrize("camera", [pan, zoom])
@pytest.mark.parametrize(("frames", "asked"), [([0, 6], 3), ([0, 6], 6), ([4, 8], 1), ([4], 1), ([2, 3, 12], 9)])
def test_between_and_before_sightings_somebody_is_where_the_camera_shows_them(
    camera: type[Pose], frames: list[int], asked: int
) -> None:
    tracks = remembered(camera, frames).at(asked * FRAME_NS, HOLD_NS, camera(asked))
    x1, y1, x2, y2 = only(tracks).box
    expected = turned(FACE, camera(asked))
    assert (x1 + x2) / 2 == pytest.approx((expected[0] + expected[2]) / 2, abs=2.0)
    assert (y1 + y2) / 2 == pytest.approx((expected[1] + expected[3]) / 2, abs=2.0)
    assert x2 - x1 >= 0.97 * (expected[2] - expected[0])


@given(st.floats(0.8, 1.25), st.floats(-300, 300), st.floats(-300, 300))
def test_a_camera_that_stood_elsewhere_all_the_time_changes_nothing(scale: float, dx: float, dy: float) -> None:
    pose = Pose(scale, dx, dy)
    for tracker_pose in (STILL, pose):
        tracker = Tracker(TrackSettings(), HOLD_NS)
        for frame in range(4):
            tracker.update(make_detections(FACE), frame * FRAME_NS, tracker_pose)
        assert only(tracker.predict(6 * FRAME_NS, tracker_pose)).box == pytest.approx(FACE, abs=1e-3)
