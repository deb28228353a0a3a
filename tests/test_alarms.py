"""Places that an audit found bare: each is masked for its whole hold time, and there are never too many."""

from __future__ import annotations

from anonymizer.policy.alarms import MOST, Alarms

Box = tuple[float, float, float, float]
HOLD_NS = 1000


def place(number: int) -> Box:
    return float(number), 0.0, number + 1.0, 1.0


def test_each_place_is_masked_for_its_own_hold_time_however_many_others_ended_before() -> None:
    alarms = Alarms(HOLD_NS)
    for number in range(3):
        alarms.add([place(number)], number * 400)
    for now_ns in range(800, 2000, 50):
        assert alarms.at(now_ns) == tuple(place(number) for number in range(3) if now_ns <= number * 400 + HOLD_NS)


def test_of_too_many_places_the_newest_are_masked() -> None:
    alarms = Alarms(HOLD_NS)
    for number in range(MOST + 9):
        alarms.add([place(number)], 0)
    assert alarms.at(0) == tuple(place(number) for number in range(9, MOST + 9))
