"""How far the nearest look is from the frame that fares worst."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.pipeline.tempo import Patience, Tempo, furthest_ms
from anonymizer.settings.schema import Mode, PrivacySettings


def nearest_ms(frame_ms: int, tempo: Tempo, held_ms: float) -> float:
    """Distance to the nearest of the looks at 0, period, 2 periods... that are answered when the frame leaves."""
    period, answer = round(tempo.period_ms), round(tempo.answer_ms)
    looks = range(0, frame_ms + round(held_ms) - answer + 1, period)
    return min(abs(frame_ms - look) for look in looks)


@given(
    period_ms=st.integers(2, 900),
    answer_share=st.floats(0.0, 3.0),
    held_ms=st.integers(0, 1200),
)
def test_the_furthest_frame_is_as_far_as_trying_them_all_says(
    period_ms: int, answer_share: float, held_ms: int
) -> None:
    tempo = Tempo(period_ms, round(answer_share * period_ms))
    settled_ms = 5 * period_ms + held_ms + round(tempo.answer_ms)
    tried = max(nearest_ms(settled_ms + at_ms, tempo, held_ms) for at_ms in range(period_ms))
    assert tried == pytest.approx(furthest_ms(tempo, held_ms), abs=1.0)


def test_looks_follow_each_other_as_fast_as_the_detector_can_and_no_faster_than_asked() -> None:
    assert Tempo.of(20.0, cameras=2, looks_per_s=5.0) == Tempo(200.0, 40.0)
    assert Tempo.of(150.0, cameras=2, looks_per_s=5.0) == Tempo(300.0, 300.0)


def test_whoever_waits_longer_may_be_looked_at_more_slowly() -> None:
    balanced = Patience.of(PrivacySettings(lookahead_ms=500, max_wait_ms=180, max_detection_age_ms=400))
    live = Patience.of(PrivacySettings(mode=Mode.LIVE, lookahead_ms=500, max_wait_ms=180, max_detection_age_ms=400))
    assert balanced.longest_look_ms == pytest.approx(360)
    assert live.longest_look_ms == pytest.approx(180)


@given(look_ms=st.floats(1.0, 1000.0))
def test_one_camera_is_served_up_to_the_longest_look_and_not_beyond(look_ms: float) -> None:
    patience = Patience.of(PrivacySettings())
    tempo = Tempo.of(look_ms, cameras=1, looks_per_s=120.0)
    assert patience.suffices(tempo) == (look_ms <= patience.longest_look_ms)


@pytest.mark.parametrize(
    ("tempo", "max_age_ms", "suffices", "shows_all"),
    [
        (Tempo(140, 40), 400, True, (True, True)),
        (Tempo(140, 40), 100, False, (True, True)),
        (Tempo(140, 40), 69, False, (False, False)),
        (Tempo(300, 40), 2000, True, (True, False)),
    ],
)
def test_pictures_are_masked_whole_beyond_the_age_allowed_and_in_mode_strict_when_they_leave_before_the_next_look(
    tempo: Tempo, max_age_ms: float, suffices: bool, shows_all: tuple[bool, bool]
) -> None:
    patience = Patience(held_ms=180, max_age_ms=max_age_ms)
    assert patience.suffices(tempo) == suffices
    assert (patience.shows_all(tempo, strict=False), patience.shows_all(tempo, strict=True)) == shows_all
