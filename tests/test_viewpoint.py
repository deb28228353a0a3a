"""A camera that turns or shows another scene is noticed; people, light and noise are no move."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from anonymizer.policy.viewpoint import LONGEST_FRAMES, REFERENCE_FRAMES, SETTLED_FRAMES, Viewpoint
from anonymizer.types import U8

WIDTH, HEIGHT = 640, 360


def scene(seed: int) -> U8:
    """Structure of every size, wider and higher than a frame."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((HEIGHT * 2, WIDTH * 3), np.float32)
    for blur in (4, 12, 30):
        layer = cv2.GaussianBlur(rng.normal(0, 1, picture.shape).astype(np.float32), (0, 0), blur)
        picture += layer / layer.std()
    return np.clip(128 + 30 * picture, 0, 255).astype(np.uint8)


STREET, GARDEN = scene(1), scene(2)


def view(picture: U8, x: float = 0, y: float = 0, seed: int = 0, gain: float = 1.0) -> U8:
    """A noisy frame of a scene."""
    rng = np.random.default_rng(seed)
    part = picture[round(y) : round(y) + HEIGHT, round(x) : round(x) + WIDTH]
    return np.clip(part * gain + rng.normal(0, 3, part.shape), 0, 255).astype(np.uint8)


def watch(viewpoint: Viewpoint, frames: list[U8]) -> list[bool]:
    return [viewpoint.moved(frame) for frame in frames]


def still(count: int = 10, picture: U8 = STREET, **more: float) -> list[U8]:
    return [view(picture, seed=index, **more) for index in range(count)]  # type: ignore[arg-type]


def test_a_camera_that_stands_still_has_not_moved() -> None:
    assert not any(watch(Viewpoint(), still(2 * REFERENCE_FRAMES)))


def test_changing_light_is_no_move() -> None:
    frames = [*still(), *still(gain=0.5), *still(gain=1.3)]
    frames += [view(STREET, seed=index, gain=1 + 0.3 * np.sin(index)) for index in range(20)]
    assert not any(watch(Viewpoint(), frames))


def test_somebody_who_walks_through_the_picture_is_no_move() -> None:
    frames = still(60)
    for index, frame in enumerate(frames):
        frame[60:320, 10 * index : 10 * index + 120] = 30
    assert not any(watch(Viewpoint(), frames))


@pytest.mark.parametrize("speed_px", [3, 6, 10, 20])
@pytest.mark.parametrize("down", [0.0, 0.4])
def test_a_turning_camera_has_moved_until_it_stands_still(speed_px: int, down: float) -> None:
    path = [index * speed_px for index in range(1, 41)]
    viewpoint = Viewpoint()
    assert not any(watch(viewpoint, still()))
    turning = watch(viewpoint, [view(STREET, x, x * down) for x in path])
    begun = turning.index(True)
    assert begun * speed_px < 40, "a shift of six in a hundred of the width is noticed"
    assert all(turning[begun:])
    settling = watch(viewpoint, still(20, x=path[-1], y=path[-1] * down))
    assert settling[: SETTLED_FRAMES - 1] == [True] * (SETTLED_FRAMES - 1)
    assert not any(settling[SETTLED_FRAMES + 2 :])


def test_a_push_of_a_twentieth_of_the_picture_is_noticed_at_once() -> None:
    viewpoint = Viewpoint()
    watch(viewpoint, still())
    assert viewpoint.moved(view(STREET, 40))


def test_another_scene_is_noticed_at_once_and_settles() -> None:
    viewpoint = Viewpoint()
    watch(viewpoint, still())
    answers = watch(viewpoint, still(20, GARDEN))
    assert answers == [True] * SETTLED_FRAMES + [False] * (20 - SETTLED_FRAMES)


def test_noise_and_darkness_never_move() -> None:
    rng = np.random.default_rng(3)
    noise = [rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8) for _ in range(30)]
    assert not any(watch(Viewpoint(), noise))
    assert not any(watch(Viewpoint(), [np.full((HEIGHT, WIDTH), 16, np.uint8)] * 30))


def test_a_view_that_turns_into_noise_is_given_up_in_the_end() -> None:
    rng = np.random.default_rng(3)
    viewpoint = Viewpoint()
    watch(viewpoint, still())
    noise = [rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8) for _ in range(LONGEST_FRAMES + 10)]
    answers = watch(viewpoint, noise)
    assert answers == [True] * LONGEST_FRAMES + [False] * 10


def test_a_camera_that_keeps_turning_stays_moved() -> None:
    viewpoint = Viewpoint()
    watch(viewpoint, still())
    turning = [view(STREET, 600 + 500 * np.sin(index / 12), seed=index) for index in range(3 * LONGEST_FRAMES)]
    answers = watch(viewpoint, turning)
    assert np.mean(answers[2:]) > 0.8


def test_after_a_reset_anything_is_a_new_view() -> None:
    viewpoint = Viewpoint()
    watch(viewpoint, still())
    viewpoint.reset()
    assert not any(watch(viewpoint, still(10, GARDEN)))


@pytest.mark.parametrize("shape", [(2, 2), (36, 64), (1080, 1920), (1920, 1080)])
def test_every_size_can_be_compared(shape: tuple[int, int]) -> None:
    viewpoint = Viewpoint()
    picture = cv2.resize(STREET, shape[::-1]).astype(np.uint8).reshape(shape)
    assert not any(viewpoint.moved(picture) for _ in range(3))
