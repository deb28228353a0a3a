"""Under load a camera shows wider masks, then fewer frames, and comes back step by step; it never masks less."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.clock import FakeClock
from anonymizer.pipeline.assembly import make_core
from anonymizer.pipeline.governor import STRIDES, Governor, told
from anonymizer.pipeline.status import StatusCell
from anonymizer.settings.schema import PrivacySettings, RedactSettings, TargetName, TrackSettings
from anonymizer.types import Frame, LinkChange, LinkState, Outcome, Reason, RedactedFrame, Stage
from tests.fakes import RecordingMeter, make_detections, make_frame, make_planes

MS = 1_000_000
SECOND = 1_000_000_000
STEP_NS = 40 * MS
MAX_AGE_NS, MAX_LAG_NS = 400 * MS, 180 * MS
PLANES = make_planes(64, 48)
Box = tuple[float, float, float, float]


class Drill:
    """A governor and frames 40 ms apart."""

    def __init__(self, max_lag_ns: int = MAX_LAG_NS) -> None:
        self.governor = Governor(MAX_AGE_NS, max_lag_ns)
        self._now_ns = 0

    def run(self, seconds: float, age_ns: int = 0, *, lag_ns: int = 0, is_seen: bool = False) -> list[bool]:
        """Which frames of that time are shown."""
        shown = []
        for _ in range(round(seconds * SECOND / STEP_NS)):
            self._now_ns += STEP_NS
            shown.append(self.governor.shows(self._now_ns, is_seen=is_seen))
            self.governor.observe(age_ns=age_ns, lag_ns=lag_ns, is_shown=shown[-1], now_ns=self._now_ns)
        return shown

    def recover(self) -> int:
        """Seconds of calm until all is well again."""
        for second in range(200):
            if self.governor.level == 0:
                return second
            self.run(1)
        raise AssertionError


def test_without_pressure_every_frame_is_shown_and_no_mask_grows() -> None:
    drill = Drill()
    assert all(drill.run(100, age_ns=150 * MS, lag_ns=60 * MS))
    assert drill.governor.level == 0
    assert drill.governor.growth(300 * MS) == 0.0


@pytest.mark.parametrize("max_lag_ns", [0, 5 * MS])
def test_a_camera_whose_frames_wait_for_nothing_is_not_under_load_for_that(max_lag_ns: int) -> None:
    """With `max_wait_ms: 0` one frame of eight was shown for good: every frame takes a moment to the thread."""
    drill = Drill(max_lag_ns)
    assert all(drill.run(60, lag_ns=10 * MS))
    assert drill.governor.level == 0
    drill.run(10, lag_ns=90 * MS)
    assert drill.governor.level > 0


def test_the_log_says_what_a_level_does_to_the_pictures() -> None:
    texts = [told(level) for level in range(len(STRIDES))]
    assert len(set(texts)) == len(STRIDES)
    assert "every picture is shown" in texts[0]
    assert all("masks are wider" in text for text in texts[1:])
    assert all(f"one picture of {STRIDES[level]} is shown" in texts[level] for level in (2, 3, 4))


def test_masks_grow_before_frames_are_left_out() -> None:
    drill = Drill()
    assert all(drill.run(1.2, age_ns=350 * MS))
    assert drill.governor.level == 1
    assert drill.governor.growth(300 * MS) == pytest.approx(0.3)
    assert drill.governor.growth(0) == 0.0
    drill.run(1, age_ns=350 * MS)
    assert drill.governor.level == 2
    assert not all(drill.run(0.5))


@pytest.mark.parametrize(("age_ns", "lag_ns"), [(350 * MS, 0), (0, 140 * MS), (10 * SECOND, 10 * SECOND)])
def test_late_detections_and_late_frames_are_pressure_up_to_the_last_level_and_not_beyond(
    age_ns: int, lag_ns: int
) -> None:
    drill = Drill()
    drill.run(20, age_ns, lag_ns=lag_ns)
    assert drill.governor.level == len(STRIDES) - 1


def test_detections_that_are_only_rather_old_widen_masks_and_cost_no_frame() -> None:
    drill = Drill()
    assert all(drill.run(60, age_ns=330 * MS))
    assert drill.governor.level == 1


def test_a_few_late_frames_among_many_are_no_pressure() -> None:
    drill = Drill()
    for _ in range(50):
        drill.run(0.6)
        drill.run(0.04, age_ns=390 * MS)
    assert drill.governor.level == 0


def test_it_comes_back_step_by_step_once_all_is_calm() -> None:
    drill = Drill()
    drill.run(20, age_ns=350 * MS)
    levels = [drill.governor.level]
    for _ in range(40):
        drill.run(1)
        levels.append(drill.governor.level)
    assert sorted(set(levels), reverse=True) == [4, 3, 2, 1, 0]
    assert levels == sorted(levels, reverse=True)
    assert levels[5] == 4


def test_between_calm_and_heavy_it_stays_where_it_is() -> None:
    drill = Drill()
    drill.run(2.2, age_ns=350 * MS)
    for age_ns in (300 * MS, 175 * MS):  # rather less than what leaves frames out, a little less than what widens masks
        drill.run(30, age_ns=age_ns)
        level = drill.governor.level
        drill.run(60, age_ns=age_ns)
        assert drill.governor.level == level > 0


def test_a_view_that_is_looked_at_three_times_a_second_is_not_called_slow_for_good_after_a_moment_of_load() -> None:
    """As one that stands still, or with `track.looks_per_s: 3`; log and page said that the models were behind."""
    drill = Drill()
    drill.run(2.2, age_ns=350 * MS)
    for look_ns in range(0, 90 * SECOND, SECOND // 3):
        for at_ns in range(-look_ns % STEP_NS, SECOND // 3, STEP_NS):
            drill.run(0.04, age_ns=min(at_ns, SECOND // 3 - at_ns))
    assert drill.governor.level == 0


def test_after_a_heavy_load_it_comes_down_to_what_a_light_one_asks_for() -> None:
    drill = Drill()
    drill.run(20, age_ns=350 * MS)
    drill.run(60, age_ns=200 * MS)
    assert drill.governor.level == 1
    assert all(drill.run(10, age_ns=200 * MS))


def test_good_frames_alone_are_no_recovery_while_those_left_out_would_be_bad() -> None:
    drill = Drill()
    drill.run(3.2, age_ns=350 * MS)
    level = drill.governor.level
    for _ in range(200):
        drill.run(0.04, is_seen=True)
        drill.run(0.28, age_ns=300 * MS)
    assert drill.governor.level == level


def test_after_a_relapse_it_waits_longer_before_it_tries_again() -> None:
    drill = Drill()
    drill.run(1.2, age_ns=350 * MS)

    waits = []
    for _ in range(6):
        waits.append(drill.recover())
        drill.run(1.2, age_ns=350 * MS)
    assert waits[0] < waits[1] < waits[2]
    assert max(waits) <= 2 * 60 + 2  # it may have climbed two steps


def test_frames_that_the_detector_saw_are_preferred_but_not_waited_for_without_end() -> None:
    governor = Governor(MAX_AGE_NS, MAX_LAG_NS)
    now_ns = 0
    while governor.level < 2:
        now_ns += STEP_NS
        governor.shows(now_ns, is_seen=False)
        governor.observe(age_ns=MAX_AGE_NS, lag_ns=0, is_shown=True, now_ns=now_ns)
    shown = [governor.shows(now_ns + n * STEP_NS, is_seen=n % 3 == 0) for n in range(60)]
    assert {n % 3 for n, is_shown in enumerate(shown) if is_shown and n > 0} == {0}
    assert sum(shown) >= 19
    unseen = [governor.shows(now_ns + (60 + n) * STEP_NS, is_seen=False) for n in range(60)]
    assert sum(unseen) == 15


def test_where_every_frame_is_looked_at_as_many_are_left_out_so_that_the_models_get_more_of_the_cpu() -> None:
    drill = Drill()
    drill.run(20, age_ns=350 * MS)
    assert sum(drill.run(8, age_ns=350 * MS, is_seen=True)) == 8 * 25 / STRIDES[4]


def test_relapses_of_long_ago_no_longer_count() -> None:
    drill, waits = Drill(), []
    for calm_s in (0, 0, 30, 0):
        drill.run(1.2, age_ns=350 * MS)
        waits.append(drill.recover())
        drill.run(calm_s)
    assert waits[0] == waits[3] < waits[2]


@given(st.lists(st.tuples(st.integers(0, 2 * SECOND), st.integers(0, SECOND), st.booleans()), max_size=400))
def test_whatever_comes_two_frames_a_second_are_shown(frames: list[tuple[int, int, bool]]) -> None:
    governor = Governor(MAX_AGE_NS, MAX_LAG_NS)
    shown_ns = now_ns = 0
    for age_ns, lag_ns, is_seen in frames:
        now_ns += STEP_NS
        if is_shown := governor.shows(now_ns, is_seen=is_seen):
            shown_ns = now_ns
        governor.observe(age_ns=age_ns, lag_ns=lag_ns, is_shown=is_shown, now_ns=now_ns)
        assert now_ns - shown_ns < 500 * MS
        assert governor.growth(age_ns) >= 0


def test_a_limit_of_zero_is_no_division_by_zero() -> None:
    governor = Governor(0, 0)
    governor.observe(age_ns=0, lag_ns=0, is_shown=True, now_ns=0)
    assert governor.level == 0


# With the real core: a detector on a quarter of the CPU


class Street:
    """Somebody walks to and fro before a camera of 15 fps; one detector that takes the newest frame when it is free."""

    def __init__(self, lookahead_ms: int) -> None:
        self.clock = FakeClock()
        self.meter = RecordingMeter()
        self.out: list[RedactedFrame] = []
        self.levels: list[int] = []
        self.status = StatusCell("cam", self.clock)
        self._slot: Frame | None = None
        self._seq = 0
        self._done: tuple[int, Frame] | None = None
        self.core = make_core(
            "cam",
            PrivacySettings(targets=(TargetName.FACE,), lookahead_ms=lookahead_ms),
            RedactSettings(),
            TrackSettings(looks_per_s=120),
            submit=self._take,
            sinks=(self,),
            meter=self.meter,
            clock=self.clock,
            status=self.status,
        )
        self.core.on_link(LinkChange("cam", LinkState.STREAMING, 0))

    def offer(self, frame: RedactedFrame) -> None:
        self.out.append(frame)

    def run(self, seconds: int, detect_ms: int) -> list[RedactedFrame]:
        """What leaves in that time."""
        before = len(self.out)
        end_ns = self.clock.now_ns() + seconds * SECOND
        while self.clock.now_ns() < end_ns:
            now_ns = self.clock.now_ns()
            if now_ns >= self._seq * 66 * MS:
                self.core.on_frame(make_frame(self._seq, captured_ns=now_ns, pts_ns=now_ns, planes=PLANES))
                self._seq += 1
            if self._done is not None and now_ns >= self._done[0]:
                seen, self._done = self._done[1], None
                self.core.on_detections(make_detections(walker(seen.captured_ns), seq=seen.seq))
            if self._done is None and self._slot is not None:
                self._done, self._slot = (now_ns + detect_ms * MS, self._slot), None
            self.core.on_time()
            self.levels.append(int(self.meter.values.get(("governor_level", "cam"), 0)))
            self.clock.advance(0.002)
        return self.out[before:]

    def _take(self, frame: Frame) -> None:
        self._slot = frame


def walker(at_ns: int) -> Box:
    """A face of 8x10 px; in six seconds it walks 20 px to the right and back."""
    way = abs((at_ns / SECOND) % 6 - 3) * 20 / 3
    return 10 + way, 15.0, 18 + way, 25.0


def share_covered(frames: list[RedactedFrame], where: Callable[[int], Box]) -> float:
    """Share of the frames in which a region, or the whole mask, contains the face."""
    covered = 0
    for frame in frames:
        x1, y1, x2, y2 = where(frame.captured_ns)
        covered += frame.whole_frame is not None or any(
            region.box[0] <= x1 and region.box[1] <= y1 and region.box[2] >= x2 and region.box[3] >= y2
            for region in frame.regions
        )
    return covered / len(frames)


def test_what_the_look_ahead_and_wider_masks_make_up_for_costs_no_frame() -> None:
    street = Street(lookahead_ms=500)
    street.run(3, 120)  # start
    frames = street.run(30, 480)
    assert max(street.levels) == 1
    assert len(frames) == pytest.approx(30 / 0.066, abs=5)
    assert share_covered(frames, walker) == 1.0
    assert not any(frame.whole_frame for frame in frames)


@pytest.mark.parametrize(("lookahead_ms", "detect_ms"), [(0, 120), (500, 160)])
def test_on_a_quarter_of_the_cpu_coverage_does_not_fall_but_frames_do(lookahead_ms: int, detect_ms: int) -> None:
    street = Street(lookahead_ms)
    street.run(3, detect_ms)  # start
    before = street.run(10, detect_ms)
    street.run(15, 4 * detect_ms)
    throttled = street.run(20, 4 * detect_ms)
    assert street.status.read().load_level == street.levels[-1] > 0
    street.run(40, detect_ms)
    after = street.run(10, detect_ms)
    assert max(street.levels) >= 2
    assert street.levels[-1] == 0
    assert share_covered(before, walker) == share_covered(throttled, walker) == share_covered(after, walker) == 1.0
    assert len(throttled) / 20 < 0.6 * len(before) / 10
    assert len(after) == pytest.approx(len(before), abs=2)
    assert street.meter.counts["frame", "cam", Stage.REDACT, Outcome.SKIPPED] > 100
    whole = [frame.whole_frame for frame in throttled if frame.whole_frame]
    assert set(whole) <= {Reason.STALE}
