"""The pure parts of the pipeline: back-off, time line, ring, heartbeat, stage thread, status."""

from __future__ import annotations

import itertools
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.backoff import Backoff
from anonymizer.clock import FakeClock
from anonymizer.pipeline.lookahead import HoldRing, frame_bytes
from anonymizer.pipeline.stage import Pulse, StageThread
from anonymizer.pipeline.status import StatusCell
from anonymizer.pipeline.timeline import Timeline
from anonymizer.types import LinkState, Reason, Size
from tests.fakes import make_frame

SECOND = 1_000_000_000


def test_back_off_grows_to_its_cap_within_its_jitter_and_starts_over_after_a_success() -> None:
    backoff = Backoff(0.5, 4.0, random.Random(1))
    delays = [backoff.next_s() for _ in range(8)]
    for delay, ceiling in zip(delays, [0.5, 1, 2, 4, 4, 4, 4, 4], strict=True):
        assert ceiling / 2 <= delay <= ceiling
    backoff.reset()
    assert backoff.next_s() <= 0.5


def test_back_off_after_months_of_failure_is_still_the_cap() -> None:
    backoff = Backoff(0.5, 4.0, random.Random(1))
    for _ in range(5000):
        assert backoff.next_s() <= 4.0


def test_the_time_line_keeps_the_spacing_of_the_camera() -> None:
    line = Timeline()
    placed = [line.place(0, 7 * SECOND + number * 40, 100 + number * 55) for number in range(5)]
    assert [after - before for before, after in itertools.pairwise(placed)] == [40] * 4


def test_the_time_line_bridges_a_reconnection_with_our_clock() -> None:
    line = Timeline()
    line.place(0, 500 * SECOND, 10 * SECOND)
    assert line.place(1, 0, 25 * SECOND) == 15 * SECOND


def test_a_camera_that_sets_its_clock_is_anchored_again() -> None:
    line = Timeline()
    line.place(0, 0, 0)
    assert line.place(0, 3600 * SECOND, SECOND) == SECOND


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-(10**12), 10**12), st.integers(0, 10**10)), max_size=50))
def test_the_time_line_is_strictly_increasing_whatever_comes(steps: list[tuple[int, int, int]]) -> None:
    line, now, last = Timeline(), 0, -1
    for epoch, pts, passed in steps:
        now += passed
        placed = line.at(now) if epoch == 3 else line.place(epoch, pts, now)
        assert placed > last
        last = placed


def test_the_ring_drops_its_oldest_frames_when_there_are_too_many() -> None:
    ring = HoldRing(max_frames=2, max_bytes=10**9)
    assert ring.head() is None
    assert [len(ring.push(make_frame(seq))) for seq in range(4)] == [0, 0, 1, 1]
    assert [ring.pop().seq, ring.pop().seq, len(ring)] == [2, 3, 0]


def test_the_ring_is_bounded_in_bytes_but_always_holds_the_newest_frame() -> None:
    one = frame_bytes(make_frame())
    ring = HoldRing(max_frames=100, max_bytes=one)
    ring.push(make_frame(0))
    assert [frame.seq for frame in ring.push(make_frame(1))] == [0]
    assert HoldRing(max_frames=1, max_bytes=1).push(make_frame()) == ()


def test_a_pulse_is_alive_until_its_limit_passes_without_a_beat() -> None:
    clock = FakeClock()
    pulse = Pulse(clock, 2.0)
    clock.advance(2.0)
    assert pulse.alive()
    clock.advance(0.1)
    assert not pulse.alive()
    pulse.beat()
    assert pulse.alive()


def test_a_stage_that_raises_is_reported_and_not_silent() -> None:
    crashed = threading.Event()

    def loop(_stop: threading.Event) -> None:
        raise ZeroDivisionError

    stage = StageThread("broken", loop, on_crash=crashed.set)
    with stage:
        assert crashed.wait(5)
    assert stage.crashed


def test_closing_a_stage_stops_its_loop_and_may_be_repeated() -> None:
    stage = StageThread("fine", lambda stop: stop.wait() and None, on_crash=lambda: None)
    stage.start()
    stage.close()
    stage.close()
    assert not stage.crashed


def test_a_thread_that_does_not_stop_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()
    stage = StageThread("stuck", lambda _stop: release.wait() and None, on_crash=lambda: None, join_s=0.01)
    stage.start()
    stage.close()
    assert "thread stuck did not stop" in caplog.text
    release.set()


def test_status_counts_rates_over_the_last_seconds_and_ignores_placeholders_in_latency() -> None:
    clock = FakeClock()
    cell = StatusCell("door", clock)
    empty = cell.read()
    assert (empty.fps_in, empty.latency_ms, empty.published_ns, empty.size) == (0.0, None, None, None)
    for _ in range(60):
        clock.advance(0.1)
        cell.frame_in()
        cell.published(Size(64, 48), clock.now_ns() - 50_000_000, None)
    cell.published(Size(64, 48), 0, Reason.NO_SIGNAL)
    cell.link(LinkState.STREAMING, "")
    cell.redacted(tracks=3)
    cell.restarted()
    status = cell.read()
    assert status.fps_in == pytest.approx(10, abs=0.5)
    assert status.latency_ms == pytest.approx(50)
    assert (status.whole_frame, status.tracks, status.restarts, status.link) == ("no_signal", 3, 1, "streaming")
