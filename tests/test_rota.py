"""Turns of tiles: everything gets one within a bounded time, what matters gets more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.detect.letterbox import Fit
from anonymizer.detect.reach import Eye, TilePlan, plan_tiles
from anonymizer.detect.rota import Rota
from anonymizer.types import U8, Heat, Size

PLAN = plan_tiles(Size(640, 360), Eye(Size(192, 192), Fit.LETTERBOX, 16), 16)
STILL = np.full((360, 640), 90, np.uint8)


def changed(index: int, plan: TilePlan = PLAN) -> U8:
    """The still picture with a face-sized change in the middle of a tile."""
    tile = plan.tiles[index]
    y, x = tile.y + tile.size.height // 2, tile.x + tile.size.width // 2
    picture = STILL.copy()
    picture[y - 12 : y + 12, x - 12 : x + 12] = 160
    return picture


def test_the_plan_of_these_tests_has_tiles() -> None:
    assert len(PLAN.tiles) == 15


def test_with_time_for_all_every_tile_is_looked_at_in_every_frame() -> None:
    rota = Rota(PLAN)
    for _ in range(2):
        assert rota.choose(STILL, 99) == list(PLAN.tiles)
    assert rota.longest_wait(99) == 1
    assert Rota(plan_tiles(Size(320, 192), Eye(Size(640, 384), Fit.LETTERBOX, 16), 16)).choose(STILL, 1) == []


@pytest.mark.parametrize("turns", [1, 2, 4, 14])
def test_a_still_scene_is_looked_at_in_turn(turns: int) -> None:
    rota = Rota(PLAN)
    seen = [tile for _ in range(-(-15 // turns)) for tile in rota.choose(STILL, turns)]
    assert set(seen) == set(PLAN.tiles)


def test_a_frame_never_looks_twice_at_a_tile() -> None:
    for faces in (PLAN.tiles, PLAN.tiles[3:4], ()):
        rota = Rota(PLAN)
        for tile in faces:
            rota.found(tile, something=True)
        for _ in range(20):
            chosen = rota.choose(STILL, 8)
            assert len(set(chosen)) == 8


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 16),
    st.lists(st.tuples(st.sets(st.integers(0, 14)), st.integers(0, 14), st.integers(0, 5)), min_size=40, max_size=60),
)
def test_no_tile_waits_longer_than_the_bound_whatever_happens(
    turns: int, story: list[tuple[set[int], int, int]]
) -> None:
    """Faces in any tiles, motion anywhere, sometimes more time than usual."""
    rota = Rota(PLAN)
    last_seen = dict.fromkeys(PLAN.tiles, -1)
    for frame, (faces, moving, more) in enumerate(story):
        for tile in rota.choose(changed(moving), turns + more):
            last_seen[tile] = frame
            rota.found(tile, something=PLAN.tiles.index(tile) in faces)
        assert all(frame - at < rota.longest_wait(turns) for at in last_seen.values())


def test_a_tile_with_a_face_is_looked_at_in_every_other_turn_until_it_is_gone() -> None:
    rota = Rota(PLAN)
    face = PLAN.tiles[7]
    rota.found(face, something=True)
    chosen = [rota.choose(STILL, 1)[0] for _ in range(10)]
    assert [tile == face for tile in chosen] == [True, False] * 5
    rota.found(face, something=False)
    assert face not in [rota.choose(STILL, 1)[0] for _ in range(10)]


def test_several_faces_share_their_turns() -> None:
    rota = Rota(PLAN)
    faces = {PLAN.tiles[index] for index in (2, 7, 11)}
    for tile in faces:
        rota.found(tile, something=True)
    assert {rota.choose(STILL, 1)[0] for _ in range(6)} >= faces


def test_motion_brings_a_tile_forward_once() -> None:
    rota = Rota(PLAN)
    for _ in range(2):
        rota.choose(STILL, 1)
    (seen,) = rota.choose(changed(14), 1)
    middle = PLAN.tiles[14].x + PLAN.tiles[14].size.width // 2
    assert seen.x < middle < seen.x + seen.size.width
    assert rota.choose(STILL, 1) == [PLAN.tiles[2]]


def test_a_face_comes_before_motion() -> None:
    rota = Rota(PLAN)
    rota.choose(STILL, 2)
    rota.found(PLAN.tiles[9], something=True)
    assert rota.choose(changed(14), 1) == [PLAN.tiles[9]]


def test_noise_is_no_motion() -> None:
    rota, rng = Rota(PLAN), np.random.default_rng(5)
    noisy = [np.clip(STILL + rng.normal(0, 12, STILL.shape), 0, 255).astype(np.uint8) for _ in range(15)]
    assert [rota.choose(picture, 1)[0] for picture in noisy] == list(PLAN.tiles)


def warm(*indices: int) -> Heat:
    """Heat of a fine grid with one hot cell in the middle of each of these tiles."""
    cells = np.full((36, 64), 0.4, np.float32)
    for index in indices:
        tile = PLAN.tiles[index]
        cells[(tile.y + tile.size.height // 2) // 10, (tile.x + tile.size.width // 2) // 10] = 0.6
    return Heat(cells, 0.9)


def test_a_tile_that_attention_points_at_comes_before_others_but_after_a_face() -> None:
    rota = Rota(PLAN)
    tile = PLAN.tiles[14]
    (seen,) = rota.choose(STILL, 1, warm(14))
    assert seen.x < tile.x + tile.size.width // 2 < seen.x + seen.size.width
    rota = Rota(PLAN)
    rota.found(PLAN.tiles[3], something=True)
    assert rota.choose(STILL, 1, warm(14)) == [PLAN.tiles[3]]


def test_without_a_hot_cell_attention_changes_nothing() -> None:
    plain, attentive = Rota(PLAN), Rota(PLAN)
    for _ in range(20):
        assert plain.choose(STILL, 4) == attentive.choose(STILL, 4, warm())


def test_heat_everywhere_leaves_nobody_waiting() -> None:
    rota = Rota(PLAN)
    heat = Heat(np.ones((9, 16), np.float32), 1.0)
    seen = [tile for _ in range(rota.longest_wait(2)) for tile in rota.choose(STILL, 2, heat)]
    assert set(seen) == set(PLAN.tiles)
