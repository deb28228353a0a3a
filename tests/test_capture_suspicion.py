"""What counts as damage, and how long it lasts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.capture.suspicion import Cadence, SuspicionGate


def clean_gate() -> SuspicionGate:
    gate = SuspicionGate()
    assert not gate.admit(key=True, damaged=False)
    return gate


def test_everything_before_the_first_key_picture_is_suspect() -> None:
    gate = SuspicionGate()
    assert [gate.admit(key=key, damaged=False) for key in (False, False, True, False)] == [True, True, False, False]


def test_a_fault_lasts_until_the_next_key_picture() -> None:
    gate = clean_gate()
    gate.fault()
    assert [gate.admit(key=key, damaged=False) for key in (False, False, True, False)] == [True, True, False, False]


def test_a_flagged_picture_is_a_fault_and_a_flagged_key_picture_heals_nothing() -> None:
    gate = clean_gate()
    pictures = [(False, True), (False, False), (True, True), (False, False), (True, False)]
    suspect = [gate.admit(key=key, damaged=damaged) for key, damaged in pictures]
    assert suspect == [True, True, True, True, False]


def test_a_key_picture_that_was_decoded_before_the_fault_does_not_heal_it() -> None:
    gate = clean_gate()
    gate.fault(pending=2)
    assert [gate.admit(key=True, damaged=False) for _ in range(3)] == [True, True, False]


def test_one_recovery_point_is_not_enough_and_a_fault_between_two_starts_again() -> None:
    gate = SuspicionGate()
    gate.recovery_point()
    assert gate.admit(key=False, damaged=False)
    gate.fault()
    gate.recovery_point()
    assert gate.admit(key=False, damaged=False)
    gate.recovery_point()
    assert not gate.admit(key=False, damaged=False)


@given(st.lists(st.sampled_from(["fault", "flag", "picture", "key"]), max_size=60))
def test_no_picture_between_a_fault_and_a_key_picture_is_ever_trusted(events: list[str]) -> None:
    gate = SuspicionGate()
    trusted = False
    for event in events:
        if event == "fault":
            gate.fault()
            trusted = False
            continue
        trusted = event == "key" or (trusted and event == "picture")
        assert gate.admit(key=event == "key", damaged=event == "flag") is not trusted


def gaps(pts_ms: list[int | None]) -> list[int]:
    cadence = Cadence()
    return [index for index, pts in enumerate(pts_ms) if cadence.gap(None if pts is None else pts * 1_000_000)]


@pytest.mark.parametrize(
    ("pts_ms", "expected"),
    [
        ([], []),
        ([40 * i for i in range(50)], []),  # steady
        ([40 * i for i in range(50) if i != 30], [30]),  # one picture lost
        ([40 * i for i in range(50) if i not in (20, 21, 35)], [20, 33]),  # two losses
        ([40 * i for i in range(5) if i != 3], []),  # too early to tell
        ([40 * i + (5 if i % 2 else -5) for i in range(50)], []),  # jitter of a real clock
        ([0, 40, 200, 210, 500, 520, 900, 1000, 1010, 1400, 1900, 1950, 2400], []),  # no cadence at all
        ([40 * i for i in range(20)] + [800 + 80 * i for i in range(30)], [21, 22, 23, 24, 25]),  # night
        ([40 * i for i in range(20)] + [0, 40, 80], [20]),  # time runs backwards
        ([40 * i for i in range(20)] + [None, 840], []),  # time unknown
        ([0] * 50, []),  # a clock that stands still tells nothing
        ([40 * i for i in range(20)] + [760] * 30, [20, 21, 22, 23, 24]),  # it stops: too irregular, then no news
    ],
)
def test_missing_pictures_are_noticed_on_steady_streams_only(pts_ms: list[int | None], expected: list[int]) -> None:
    assert gaps(pts_ms) == expected


def test_recurrent_loss_does_not_pass_for_the_usual_rhythm() -> None:
    assert len(gaps([40 * i for i in range(200) if i % 10])) >= 17
