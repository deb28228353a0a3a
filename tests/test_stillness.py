"""When a view counts as still, and what ends that."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.policy.stillness import CALM_NS, Stillness
from anonymizer.types import U8

MS = 1_000_000
STEP_NS = 125 * MS
REST_NS = 333 * MS
CALM_STEPS = CALM_NS // STEP_NS
VIEW = np.asarray(
    cv2.resize(np.random.default_rng(3).integers(60, 180, (9, 16)).astype(np.uint8), (640, 360)), np.uint8
)


def looked_at(steps: int, picture: Callable[[int], U8], stillness: Stillness | None = None) -> list[bool]:
    """Of each step, whether it is looked at."""
    watcher = stillness or Stillness(REST_NS)
    return [not watcher.rests(picture(step), step * STEP_NS) for step in range(steps)]


def with_patch(level: int, box: tuple[int, int, int, int] = (300, 100, 316, 120)) -> U8:
    """The view, a patch of it darker or brighter."""
    x1, y1, x2, y2 = box
    picture = VIEW.astype(np.int16)
    picture[y1:y2, x1:x2] += level
    return np.clip(picture, 0, 255).astype(np.uint8)


def test_a_view_is_looked_at_as_often_as_asked_until_it_has_been_still_for_a_while() -> None:
    looks = looked_at(CALM_STEPS + 9, lambda _: VIEW)
    assert all(looks[:CALM_STEPS])
    assert looks[CALM_STEPS:] == [False, True, False, True, False, True, False, True, False]


def test_an_empty_time_line_is_no_view_yet_so_the_first_frame_is_looked_at() -> None:
    assert not Stillness(REST_NS).rests(VIEW, 77 * STEP_NS)


@given(steps=st.lists(st.integers(10, 160), min_size=20, max_size=100))
@settings(max_examples=30, deadline=None)
def test_two_looks_are_never_further_apart_than_the_longest_rest_but_for_what_a_late_frame_is_late(
    steps: list[int],
) -> None:
    watcher, now_ns, last_ns, rested = Stillness(REST_NS), 0, 0, 0
    before_ms = 100
    for step_ms in [*[100] * 110, *steps]:
        now_ns += step_ms * MS
        if watcher.rests(VIEW, now_ns):
            rested += 1
        else:
            assert now_ns - last_ns <= REST_NS + max(step_ms - before_ms, 0) * MS
            last_ns = now_ns
        before_ms = step_ms
    assert rested


def test_frames_that_come_evenly_keep_to_the_longest_rest_exactly() -> None:
    for step_ns in (40 * MS, 67 * MS, 125 * MS, 143 * MS, 166 * MS):
        watcher, last_ns, longest_ns = Stillness(REST_NS), 0, 0
        for number in range(round(15e9 / step_ns)):
            if not watcher.rests(VIEW, number * step_ns):
                longest_ns, last_ns = max(longest_ns, number * step_ns - last_ns), number * step_ns
        assert step_ns < longest_ns <= REST_NS


def test_somebody_small_who_comes_is_looked_at_in_that_very_frame_and_as_often_as_usual_from_then_on() -> None:
    comes = CALM_STEPS + 6  # a frame that would rest
    assert not looked_at(comes + 1, lambda _: VIEW)[comes]
    looks = looked_at(comes + CALM_STEPS, lambda step: with_patch(-25) if step >= comes else VIEW)
    assert all(looks[comes:])


@pytest.mark.parametrize(
    "lit",
    [lambda step: VIEW + np.uint8(3 * (step % 5)), lambda step: (VIEW * (1 + 0.05 * (step % 5))).astype(np.uint8)],
    ids=["brightness", "exposure"],
)
def test_light_that_changes_everywhere_is_no_movement(lit: Callable[[int], U8]) -> None:
    looks = looked_at(CALM_STEPS + 40, lit)
    assert looks[CALM_STEPS:].count(False) == 20


def test_a_burnt_in_clock_that_was_seen_to_change_is_no_movement_and_somebody_elsewhere_is() -> None:
    def clock(step: int) -> U8:
        return with_patch(70 * (step // 8 % 2), (500, 10, 620, 30))

    watcher = Stillness(REST_NS)
    looks = looked_at(3 * CALM_STEPS, clock, watcher)
    assert looks[2 * CALM_STEPS :].count(False) == CALM_STEPS // 2
    picture = clock(3 * CALM_STEPS)
    picture[200:220, 100:116] += 40
    assert not watcher.rests(picture, 3 * CALM_STEPS * STEP_NS)


def test_what_a_place_used_to_do_is_forgotten_in_time() -> None:
    def rests(after: int) -> bool:
        watcher = Stillness(REST_NS)
        looked_at(after, lambda step: with_patch(60) if step == 20 else VIEW, watcher)
        return any(watcher.rests(with_patch(30), step * STEP_NS) for step in (after, after + 1))

    assert rests(2 * CALM_STEPS)
    assert not rests(20 * CALM_STEPS)


def test_what_a_place_used_to_do_counts_for_nothing_in_another_view() -> None:
    watcher = Stillness(REST_NS)
    looked_at(CALM_STEPS, lambda step: with_patch(60 * (step // 8 % 2)), watcher)
    watcher.reset()
    looks = [not watcher.rests(VIEW, (CALM_STEPS + step) * STEP_NS) for step in range(CALM_STEPS + 2)]
    assert looks[-2:] == [False, True]
    assert not watcher.rests(with_patch(30), (2 * CALM_STEPS + 2) * STEP_NS)


def test_noise_of_a_dark_picture_is_no_movement_and_somebody_in_it_is() -> None:
    rng = np.random.default_rng(4)

    def noisy(picture: U8) -> U8:
        return np.clip(picture + rng.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)

    watcher = Stillness(REST_NS)
    looks = looked_at(3 * CALM_STEPS, lambda _: noisy(VIEW), watcher)
    assert looks[CALM_STEPS:].count(False) > 0.8 * CALM_STEPS
    assert not watcher.rests(noisy(with_patch(60, (300, 100, 330, 160))), 3 * CALM_STEPS * STEP_NS)


@pytest.mark.parametrize("share", [0.06, 0.17, 0.31, 0.45])
@pytest.mark.parametrize("texture", [0.0, 15.0])
def test_somebody_near_who_fills_much_of_the_view_is_looked_at_in_that_very_frame(share: float, texture: float) -> None:
    rng = np.random.default_rng(5)

    def noisy(picture: U8) -> U8:
        return np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)

    near = VIEW.copy()
    width = round(share * VIEW.shape[1])
    coat = rng.normal(30, texture, (VIEW.shape[0] // 8, width // 8))
    near[:, 100 : 100 + width] = cv2.resize(np.clip(coat, 0, 255).astype(np.uint8), (width, VIEW.shape[0]))
    for comes in range(CALM_STEPS + 4, CALM_STEPS + 8):
        pictures = [noisy(VIEW) for _ in range(comes)] + [noisy(near)]
        looks = looked_at(comes + 1, pictures.__getitem__)
        assert not all(looks[CALM_STEPS:comes])
        assert looks[comes]


@pytest.mark.parametrize("what", [Stillness.disturb, Stillness.reset])
def test_whoever_knows_better_ends_the_rest_for_a_while(what: Callable[[Stillness], None]) -> None:
    watcher = Stillness(REST_NS)
    assert not all(looked_at(CALM_STEPS + 6, lambda _: VIEW, watcher))
    what(watcher)
    after = [not watcher.rests(VIEW, (CALM_STEPS + 6 + step) * STEP_NS) for step in range(CALM_STEPS + 4)]
    assert all(after[:CALM_STEPS])
    assert not all(after[CALM_STEPS:])


def test_a_plane_that_is_no_picture_is_an_error() -> None:
    with pytest.raises(cv2.error):
        Stillness(REST_NS).rests(np.empty((0, 0), np.uint8), 0)
