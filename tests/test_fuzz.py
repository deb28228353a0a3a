"""Random cameras: the rules hold of the real core, and would not of one that masks too little."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from anonymizer.types import RedactedFrame
from scripts.fuzz.case import make_case
from scripts.fuzz.play import Play, Record, Shown
from scripts.fuzz.rules import Breach, breaches
from scripts.fuzz.scene import Scene

SCENE = Scene()
EVENTFUL = 53  # a seed whose people are found, missed in between, found within the look-ahead, and gone between looks


def play(seed: int) -> Record:
    return Play(make_case(seed), SCENE).perform()


def found(record: Record) -> tuple[list[Breach], Counter[str]]:
    checked = Counter[str]()
    return list(breaches(record, checked)), checked


@pytest.mark.parametrize("seed", range(6, 16))
def test_every_rule_holds_of_a_camera_whatever_befalls_it(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert found(play(seed))[0] == []
    assert caplog.records == []


def test_a_seed_plays_the_same_again() -> None:
    one, other = (play(EVENTFUL) for _ in range(2))
    assert [each.at_ns for each in one.shown] == [each.at_ns for each in other.shown]
    assert all(np.array_equal(a.picture.i420, b.picture.i420) for a, b in zip(one.shown, other.shown, strict=True))


def test_masks_that_are_not_there_break_each_rule_about_people() -> None:
    record = play(EVENTFUL)

    def unmasked(picture: RedactedFrame) -> RedactedFrame:
        taken = record.taken.get(picture.seq)
        if taken is None or picture.whole_frame is not None:
            return picture
        planes = taken.frame.planes
        raw = np.concatenate([planes.y.ravel(), planes.u.ravel(), planes.v.ravel()])
        return replace(picture, i420=raw.reshape(picture.i420.shape))

    broken, checked = found(altered(record, unmasked))
    assert {breach.rule for breach in broken} == set(checked)
    assert len(checked) == 4


def test_a_picture_twice_is_out_of_order_and_time_stands_still() -> None:
    record = play(EVENTFUL)
    twice = replace(record, shown=[each for each in record.shown for _ in range(2)])
    assert {breach.rule for breach in found(twice)[0]} == {"frames leave in order, each once", "time goes on"}


def test_a_picture_before_the_first_look_or_of_a_damaged_frame_must_be_masked_whole() -> None:
    record = play(EVENTFUL)
    damaged = {seq: replace(each, frame=replace(each.frame, suspect=True)) for seq, each in record.taken.items()}
    rules = {breach.rule for breach in found(replace(record, taken=damaged, looks={}))[0]}
    assert rules == {"a damaged picture is masked whole", "nothing shows before the first look"}


def altered(record: Record, alter: Callable[[RedactedFrame], RedactedFrame]) -> Record:
    return replace(record, shown=[Shown(each.at_ns, alter(each.picture)) for each in record.shown])
