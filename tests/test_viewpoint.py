"""A camera that turns or shows another scene is noticed; people, light and noise are no move."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from anonymizer.policy.viewpoint import LONGEST_NS, WINDOW_NS, Viewpoint
from anonymizer.types import U8

WIDTH, HEIGHT = 640, 360
STEP_NS = 40_000_000
SETTLING = -(-WINDOW_NS // STEP_NS)  # frames until a view counts as settled


def scene(seed: int) -> U8:
    """Structure of every size, wider and higher than a frame."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((HEIGHT * 3, WIDTH * 3), np.float32)
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


class Watch:
    """A viewpoint that is shown frames 40 ms apart."""

    def __init__(self, *frames: U8) -> None:
        self.viewpoint = Viewpoint()
        self._next_ns = 0
        self(*frames)

    def __call__(self, *frames: U8) -> list[bool]:
        return [self._show(frame) for frame in frames]

    def _show(self, frame: U8) -> bool:
        self._next_ns += STEP_NS
        return self.viewpoint.moved(frame, self._next_ns)


def still(count: int = 10, picture: U8 = STREET, **more: float) -> list[U8]:
    return [view(picture, seed=index, **more) for index in range(count)]


def noise(count: int) -> list[U8]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8) for _ in range(count)]


def test_a_camera_that_stands_still_has_not_moved() -> None:
    assert not any(Watch()(*still(50)))


def test_changing_light_is_no_move() -> None:
    frames = [*still(), *still(gain=0.5), *still(gain=1.3)]
    frames += [view(STREET, seed=index, gain=1 + 0.3 * np.sin(index)) for index in range(20)]
    assert not any(Watch()(*frames))


def test_somebody_who_walks_through_the_picture_is_no_move() -> None:
    frames = still(60)
    for index, frame in enumerate(frames):
        frame[60:320, 10 * index : 10 * index + 120] = 30
    assert not any(Watch()(*frames))


@pytest.mark.parametrize(("across_px", "down_px"), [(2, 0), (6, 0), (-6, -2), (0, 2)])
def test_a_camera_that_glides_keeps_its_detections(across_px: int, down_px: int) -> None:
    """Up to a quarter of the width in a second: detection and tracks keep up."""
    path = [(600 + step * across_px, 300 + step * down_px) for step in range(40)]
    assert not any(Watch()(*(view(STREET, x, y, seed=step) for step, (x, y) in enumerate(path))))


@pytest.mark.parametrize("speed_px", [16, 24, 40])
@pytest.mark.parametrize("down", [0.0, 0.4])
def test_a_camera_that_turns_has_moved_until_it_has_stood_still_for_a_while(speed_px: int, down: float) -> None:
    path = [index * speed_px for index in range(1, 26)]
    watch = Watch(*still())
    turning = watch(*(view(STREET, x, x * down) for x in path))
    begun = turning.index(True)
    assert begun * speed_px <= 0.15 * WIDTH, "noticed before a sixth of the picture is another one"
    assert all(turning[begun:])
    settling = watch(*still(25, x=path[-1], y=path[-1] * down))
    assert settling[:SETTLING] == [True] * SETTLING
    assert not any(settling[2 * SETTLING + 2 :])


def test_a_turn_that_slows_down_goes_on_until_it_ends() -> None:
    fast, slow = range(24, 240, 24), range(225, 414, 9)
    watch = Watch(*still(), *(view(STREET, x, seed=x) for x in fast))
    assert all(watch(*(view(STREET, x, seed=x) for x in slow)))


def test_a_push_of_a_sixteenth_of_the_picture_is_noticed_at_once_and_settles() -> None:
    watch = Watch(*still())
    assert watch(*still(20, x=40)) == [True] * SETTLING + [False] * (20 - SETTLING)


def test_a_push_is_noticed_in_a_scene_without_any_detail() -> None:
    noise = np.random.default_rng(4).normal(0, 1, STREET.shape).astype(np.float32)
    fog = cv2.GaussianBlur(noise, (0, 0), 45)
    fog = np.clip(128 + 40 * fog / fog.std(), 0, 255).astype(np.uint8)
    assert all(Watch(*still(picture=fog))(*still(SETTLING, fog, x=40)))


def test_a_bright_stamp_that_stays_in_its_place_hides_no_turn() -> None:
    def stamped(frame: U8) -> U8:
        frame[20:50, 30:230] = 255
        return frame

    watch = Watch(*map(stamped, still(gain=0.5)))
    assert all(watch(*map(stamped, still(SETTLING, x=40, gain=0.5))))


def test_another_scene_is_noticed_at_once_and_settles() -> None:
    watch = Watch(*still())
    assert watch(*still(20, GARDEN)) == [True] * SETTLING + [False] * (20 - SETTLING)


def test_noise_and_darkness_never_move() -> None:
    assert not any(Watch()(*noise(30)))
    assert not any(Watch()(*[np.full((HEIGHT, WIDTH), 16, np.uint8)] * 30))


def test_a_view_that_turns_into_noise_is_given_up_in_the_end() -> None:
    longest = LONGEST_NS // STEP_NS
    answers = Watch(*still())(*noise(longest + 20))
    assert all(answers[:longest])
    assert not any(answers[longest + SETTLING :])


def test_after_a_reset_anything_is_a_new_view() -> None:
    watch = Watch(*still(), *still(2, GARDEN))
    watch.viewpoint.reset()
    assert not any(watch(*still(10, STREET)))


def test_time_that_runs_backwards_ends_a_move_and_begins_another_at_the_next_jump() -> None:
    watch = Watch(*still(), *still(2, GARDEN))
    watch._next_ns = 0
    assert not any(watch(*still(5, GARDEN)))
    assert watch(view(STREET)) == [True]


@pytest.mark.parametrize("shape", [(2, 2), (36, 64), (1080, 1920), (1920, 1080)])
def test_every_size_can_be_compared(shape: tuple[int, int]) -> None:
    watch = Watch()
    picture = cv2.resize(STREET, shape[::-1]).astype(np.uint8).reshape(shape)
    assert not any(watch(*[picture] * 3))
