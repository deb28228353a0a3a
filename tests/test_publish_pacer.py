"""Output timestamps: the camera's spacing, our clock's pace."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from anonymizer.publish.pacer import Pacer

MS = 1_000_000
FRAME_NS = 40 * MS


def test_the_first_picture_goes_out_now() -> None:
    assert Pacer().place(123_456, 7 * MS) == 7 * MS


def test_jitter_of_arrival_is_smoothed_away() -> None:
    pacer, rng = Pacer(), random.Random(1)
    out = [pacer.place(i * FRAME_NS, i * FRAME_NS + rng.randrange(30 * MS)) for i in range(200)]
    gaps = [after - before for before, after in itertools.pairwise(out)]
    assert max(abs(gap - FRAME_NS) for gap in gaps) < 1 * MS


def test_a_camera_whose_clock_runs_fast_is_followed_without_a_jump() -> None:
    pacer = Pacer()
    for i in range(20_000):
        now_ns = i * FRAME_NS
        out_ns = pacer.place(now_ns + now_ns // 1000, now_ns)  # 0.1 % fast: 0.8 s by the end
        assert abs(out_ns - now_ns) < 5 * MS


def test_after_a_pause_or_a_jump_the_clock_wins_at_once() -> None:
    pacer = Pacer()
    pacer.place(0, 0)
    assert pacer.place(FRAME_NS, 5_000 * MS) == 5_000 * MS
    assert pacer.place(99_000 * MS, 5_040 * MS) == 5_040 * MS


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**8)), min_size=2, max_size=50))
def test_times_always_increase(steps: list[tuple[int, int]]) -> None:
    pacer, now_ns, last_ns = Pacer(), 0, -1
    for pts_ns, elapsed_ns in steps:
        now_ns += elapsed_ns
        out_ns = pacer.place(pts_ns, now_ns)
        assert out_ns > last_ns
        last_ns = out_ns
