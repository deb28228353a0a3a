"""The pure parts of the pipeline: back-off, time line, ring, heartbeat, stage thread, status, rate of looks."""

from __future__ import annotations

import itertools
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.backoff import Backoff
from anonymizer.clock import FakeClock
from anonymizer.pipeline.assembly import longest_rest_ms, looks_per_s
from anonymizer.pipeline.lookahead import Held, HoldRing, Questions, frame_bytes
from anonymizer.pipeline.playout import Playout
from anonymizer.pipeline.stage import Pulse, StageThread
from anonymizer.pipeline.status import StatusCell
from anonymizer.pipeline.timeline import Timeline
from anonymizer.settings.schema import (
    LOOKS_PER_S,
    MaskSettings,
    Mode,
    PrivacySettings,
    RedactSettings,
    TargetName,
    TrackSettings,
)
from anonymizer.types import Effect, LinkState, Reason, Size
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


@pytest.mark.parametrize("parts_per_million", [3000, -3000])
def test_a_camera_whose_clock_drifts_for_hours_is_led_back_without_a_standstill_or_a_jump(
    parts_per_million: int,
) -> None:
    line, interval = Timeline(), 40_000_000
    arrivals = [number * interval for number in range(90_000)]
    placed = [line.place(0, at + at * parts_per_million // 1_000_000, at) for at in arrivals]
    steps = [after - before for before, after in itertools.pairwise(placed)]
    assert 0.99 * interval < min(steps) <= max(steps) < 1.01 * interval
    assert abs(placed[-1] - arrivals[-1]) < SECOND


@pytest.mark.parametrize("pace", [2.0, 0.5])
def test_a_camera_whose_timestamps_run_at_another_pace_is_placed_by_our_clock(pace: float) -> None:
    line, interval = Timeline(), 40_000_000
    placed = [line.place(0, round(number * interval * pace), number * interval) for number in range(2000)]
    steps = [after - before for before, after in itertools.pairwise(placed)]
    assert 0.4 * interval < min(steps) <= max(steps) < 2.1 * interval


def test_pictures_keep_their_spacing_after_a_connection_that_was_ahead_of_our_clock() -> None:
    line, interval = Timeline(), 40_000_000
    for number in range(75):  # what a server had kept for whoever connects: three seconds at once
        last = line.place(0, number * interval, 0)
    placed = [line.place(1, number * interval, number * interval) for number in range(5)]
    assert placed[0] > last
    assert [after - before for before, after in itertools.pairwise(placed)][1:] == pytest.approx(
        [interval] * 3, rel=0.01
    )


def test_placeholders_after_pictures_that_were_ahead_of_our_clock_come_at_their_own_pace() -> None:
    line = Timeline()
    line.place(0, 0, 0)
    line.place(0, 3 * SECOND, SECOND)
    placed = [line.at(SECOND + number * SECOND // 2) for number in range(1, 5)]
    assert min(after - before for before, after in itertools.pairwise(placed)) > 0.49 * SECOND


def leaps(times_ms: list[tuple[int, int]], epochs: list[int] | None = None) -> list[int]:
    """Numbers of the frames, given by PTS and arrival, that are further ahead than the network explains."""
    line, found = Timeline(), []
    for number, (pts_ms, arrival_ms) in enumerate(times_ms):
        line.place(epochs[number] if epochs else 0, pts_ms * 1_000_000, arrival_ms * 1_000_000)
        found += [number] if line.leapt else []
    return found


def test_a_camera_that_sets_its_clock_ahead_leaps_once_and_one_that_sets_it_back_does_not() -> None:
    steady = [(number * 40, number * 40) for number in range(100)]
    for leap_ms in (150, 600, 4900):
        assert leaps([(pts + (leap_ms if pts >= 2000 else 0), at) for pts, at in steady]) == [50]
        assert leaps([(pts - (leap_ms if pts >= 2000 else 0), at) for pts, at in steady]) == []
        assert leaps([(pts + (leap_ms if pts >= 2000 else 0), at) for pts, at in steady], [0] * 50 + [1] * 50) == []


def test_pictures_that_waited_on_their_way_and_come_in_at_once_are_no_leap() -> None:
    """A network that stalls, one that jitters, and a camera that sends a second of pictures at a time."""
    steady = [number * 40 for number in range(200)]
    assert leaps([(pts, 5000 if 2000 <= pts < 5000 else pts) for pts in steady]) == []
    assert leaps([(pts, pts + (pts // 40 * 37 % 90)) for pts in steady]) == []
    assert leaps([(pts, pts // 1000 * 1000) for pts in steady]) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-(10**12), 10**12), st.integers(0, 10**10)), max_size=50))
def test_the_time_line_is_strictly_increasing_whatever_comes(steps: list[tuple[int, int, int]]) -> None:
    line, now, last = Timeline(), 0, -1
    for epoch, pts, passed in steps:
        now += passed
        placed = line.at(now) if epoch == 3 else line.place(epoch, pts, now)
        assert placed > last
        last = placed


def pushed(ring: HoldRing, seq: int) -> list[int]:
    """Pushes frame `seq`, taken `seq` times 40 ms after the first; the frames that are lost."""
    return [frame.seq for frame in ring.push(Held(make_frame(seq), lag_ns=0))]


def test_the_ring_drops_frames_that_are_much_older_than_the_newest() -> None:
    ring = HoldRing(max_span_ns=SECOND, max_bytes=10**9)
    assert ring.head() is None
    assert [pushed(ring, seq) for seq in (0, 1, 25, 26, 80)] == [[], [], [], [0], [1, 25, 26]]
    assert [held.frame.seq for held in ring] == [80]


def test_a_ring_without_room_turns_frames_away_until_others_have_left() -> None:
    ring = HoldRing(max_span_ns=SECOND, max_bytes=2 * frame_bytes(make_frame()))
    assert [pushed(ring, seq) for seq in range(4)] == [[], [], [2], [3]]
    assert ring.pop().frame.seq == 0
    assert pushed(ring, 4) == []
    assert [held.frame.seq for held in ring] == [1, 4]


def test_a_ring_always_has_room_for_one_frame() -> None:
    ring = HoldRing(max_span_ns=0, max_bytes=1)
    assert pushed(ring, 0) == []
    assert pushed(ring, 1) == [0]
    assert len(ring) == 1


def test_of_questions_that_nobody_answered_the_oldest_are_forgotten_and_never_the_newest() -> None:
    """A camera whose newest question is forgotten would be masked whole for good."""
    questions = Questions()
    for seq in range(1000):
        questions.add(make_frame(seq))
    assert questions.answered(0) is None
    assert questions.answered(999) is not None


def test_frames_leave_after_the_look_ahead_and_the_time_that_answers_take() -> None:
    playout = Playout(lookahead_ns=500, max_wait_ns=180)
    assert [playout.due_ns(7), playout.deadline_ns(7)] == [507, 687]
    playout.answered(90)
    assert playout.due_ns(7) == 597


def test_the_delay_follows_a_slow_answer_at_once_and_shrinks_gently() -> None:
    playout = Playout(lookahead_ns=SECOND, max_wait_ns=SECOND)
    playout.answered(100_000_000)
    playout.answered(300_000_000)
    delays_ns = []
    for _ in range(300):
        playout.answered(100_000_000)
        delays_ns.append(playout.due_ns(-SECOND))
    assert 290_000_000 < delays_ns[0] < 300_000_000
    assert delays_ns == sorted(delays_ns, reverse=True)
    assert 100_000_000 <= delays_ns[-1] < 101_000_000


def test_the_delay_never_exceeds_the_longest_wait() -> None:
    playout = Playout(lookahead_ns=500, max_wait_ns=180)
    playout.answered(10**9)
    assert playout.due_ns(0) == playout.deadline_ns(0)


def test_without_look_ahead_nothing_is_delayed_for_smoothness() -> None:
    playout = Playout(lookahead_ns=0, max_wait_ns=180)
    playout.answered(90)
    assert [playout.due_ns(7), playout.deadline_ns(7)] == [7, 187]


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
    def loop(stop: threading.Event) -> None:
        stop.wait()

    stage = StageThread("fine", loop, on_crash=lambda: None)
    stage.start()
    stage.close()
    stage.close()
    assert not stage.crashed


def test_a_stage_whose_thread_could_not_be_started_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    stage = StageThread("none", lambda _stop: None, on_crash=lambda: None)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        stage.start()
    stage.close()


def test_a_thread_that_does_not_stop_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()

    def loop(_stop: threading.Event) -> None:
        release.wait()

    stage = StageThread("stuck", loop, on_crash=lambda: None, join_s=0.01)
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
    cell.loaded(2)
    cell.restarted()
    status = cell.read()
    assert status.fps_in == pytest.approx(10, abs=0.5)
    assert status.latency_ms == pytest.approx(50)
    assert (status.whole_frame, status.tracks, status.restarts, status.link) == ("no_signal", 3, 1, "streaming")
    assert status.load_level == 2


SHAPES = RedactSettings(person=MaskSettings(effect=Effect.SILHOUETTE))


@pytest.mark.parametrize(
    ("redact", "targets", "may_show", "expected"),
    [
        (RedactSettings(), (TargetName.FACE, TargetName.PERSON), False, LOOKS_PER_S),
        (RedactSettings(), (TargetName.FACE, TargetName.PERSON), True, None),
        (SHAPES, (TargetName.FACE, TargetName.PERSON), False, None),
        (SHAPES, (TargetName.FACE,), False, LOOKS_PER_S),
    ],
    ids=["masks", "names", "shapes", "shapes of nobody"],
)
def test_by_default_only_who_shows_by_name_or_shape_is_looked_at_in_every_picture(
    redact: RedactSettings, targets: tuple[TargetName, ...], may_show: bool, expected: float | None
) -> None:
    privacy = PrivacySettings(targets=targets)
    assert looks_per_s(privacy, redact, TrackSettings(), may_show=may_show) == expected
    assert looks_per_s(privacy, redact, TrackSettings(looks_per_s=5), may_show=may_show) == 5


@pytest.mark.parametrize(
    ("privacy", "track", "expected"),
    [
        (PrivacySettings(), TrackSettings(), 1000 / 3),
        (PrivacySettings(), TrackSettings(quiet_looks_per_s=120), None),
        (PrivacySettings(lookahead_ms=300), TrackSettings(), None),
        (PrivacySettings(lookahead_ms=300), TrackSettings(quiet_looks_per_s=5), 200),
        (PrivacySettings(mode=Mode.LIVE), TrackSettings(), None),
        (PrivacySettings(mode=Mode.STRICT), TrackSettings(), None),
        (PrivacySettings(max_detection_age_ms=300), TrackSettings(), None),
    ],
    ids=["as shipped", "never", "short look-ahead", "and more looks", "live", "strict", "short age"],
)
def test_a_still_view_is_looked_at_less_only_if_the_next_look_is_in_time_for_whoever_came_unnoticed(
    privacy: PrivacySettings, track: TrackSettings, expected: float | None
) -> None:
    assert longest_rest_ms(privacy, track) == expected
