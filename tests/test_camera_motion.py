"""A camera that turns or zooms is told from people and buses that move in front of it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.pose import STILL, Pose
from anonymizer.track.camera_motion import CameraMotion
from anonymizer.types import U8

WIDTH, HEIGHT = 640, 360
MARGIN = 120


def texture(seed: int) -> U8:
    """Something to see, with a margin around the picture."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, ((HEIGHT + 2 * MARGIN) // 16, (WIDTH + 2 * MARGIN) // 16), dtype=np.uint8)
    size = (WIDTH + 2 * MARGIN, HEIGHT + 2 * MARGIN)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.uint8)


STREET, BUS = texture(1), texture(2)


def view(scene: U8 = STREET, dx: float = 0.0, dy: float = 0.0, scale: float = 1.0) -> U8:
    """The scene by a camera in which what is at x stands at `scale * x + dx`."""
    matrix = np.array([[scale, 0, dx - scale * MARGIN], [0, scale, dy - scale * MARGIN]], np.float32)
    return np.asarray(cv2.warpAffine(scene, matrix, (WIDTH, HEIGHT)), np.uint8)


def told(*frames: U8) -> Pose:
    """The pose in the last of the frames."""
    motion = CameraMotion()
    for luma in frames[:-1]:
        motion.pose(luma)
    return motion.pose(frames[-1])


def numbers(pose: Pose) -> tuple[float, float, float]:
    return pose.scale, pose.dx, pose.dy


# What is told


def test_the_first_frame_begins_where_it_points() -> None:
    assert told(view()) == STILL


@pytest.mark.parametrize(("dx", "dy"), [(12.0, 0.0), (-9.0, 5.0), (0.0, -20.0)])
def test_a_turn_is_a_shift(dx: float, dy: float) -> None:
    assert numbers(told(view(), view(dx=dx, dy=dy))) == pytest.approx((1.0, dx, dy), abs=0.6)


def test_steps_add_up() -> None:
    frames = [view(dx=-6.0 * step, dy=2.0 * step) for step in range(12)]
    assert numbers(told(*frames)) == pytest.approx((1.0, -66.0, 22.0), abs=2.0)


def test_a_zoom_is_a_scale() -> None:
    scale, dx, dy = numbers(told(view(), view(scale=1.02)))
    assert scale == pytest.approx(1.02, abs=0.003)
    assert (dx, dy) == pytest.approx((0.0, 0.0), abs=1.5)


def test_a_turn_is_told_with_people_walking_in_front() -> None:
    before, after = view(), view(dx=10.0)
    before[150:330, 260:360] = BUS[150:330, 260:360]
    after[150:330, 245:345] = BUS[150:330, 260:360]
    assert numbers(told(before, after)) == pytest.approx((1.0, 10.0, 0.0), abs=0.6)


# In doubt it stands still


def test_a_camera_that_stands_still_does_so_in_noise() -> None:
    rng = np.random.default_rng(3)
    frames = [np.clip(view() + rng.normal(0, 6, (HEIGHT, WIDTH)), 0, 255).astype(np.uint8) for _ in range(20)]
    assert told(*frames) == STILL


@pytest.mark.parametrize("street_px", [60, 90, 180])
def test_a_bus_that_fills_most_of_the_picture_is_no_turn(street_px: int) -> None:
    frames = []
    for step in range(6):
        luma = view(BUS, dx=-15.0 * step)
        luma[HEIGHT - street_px :] = view()[HEIGHT - street_px :]
        frames.append(luma)
    assert told(*frames) == STILL


def test_a_turn_behind_lettering_that_stands_still_is_told() -> None:
    before, after = view(), view(dx=10.0)
    for luma in (before, after):
        luma[:30, :200] = BUS[:30, :200]
    assert numbers(told(before, after)) == pytest.approx((1.0, 10.0, 0.0), abs=0.6)


@pytest.mark.parametrize("luma", [np.full((HEIGHT, WIDTH), 90, np.uint8), view(BUS), view(STREET, scale=1.5)])
def test_a_picture_with_nothing_in_common_tells_nothing(luma: U8) -> None:
    assert told(view(), luma) == STILL
    assert told(luma, view()) == STILL


def test_noise_alone_tells_nothing() -> None:
    rng = np.random.default_rng(4)
    assert told(*(rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8) for _ in range(5))) == STILL


def test_another_picture_size_begins_anew() -> None:
    motion = CameraMotion()
    motion.pose(view())
    assert motion.pose(np.ascontiguousarray(view(dx=10.0)[:, :480])) == STILL


def test_after_a_reset_the_next_frame_begins_a_new_view() -> None:
    motion = CameraMotion()
    motion.pose(view())
    assert motion.pose(view(dx=10.0)) != STILL
    motion.reset()
    assert motion.pose(view(dx=30.0)) == STILL


def test_a_strip_of_a_picture_is_one() -> None:
    assert told(view()[:2], view(dx=10.0)[:2]) == STILL


def test_a_plane_that_is_no_picture_is_an_error() -> None:
    with pytest.raises(cv2.error):
        told(np.empty((0, 64), np.uint8))


# Poses

poses = st.builds(Pose, st.floats(0.5, 2.0), st.floats(-500, 500), st.floats(-500, 500))


@given(poses, poses)
def test_what_has_happened_since_a_pose_leads_from_it_to_the_other(one: Pose, other: Pose) -> None:
    assert numbers(one.then(other.since(one))) == pytest.approx(numbers(other), abs=1e-6)


@given(poses)
def test_nothing_happens_between_a_pose_and_itself(pose: Pose) -> None:
    assert pose.since(pose) == STILL
    assert pose.then(STILL) == pose
