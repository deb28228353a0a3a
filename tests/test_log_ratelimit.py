"""Rules of repeated warnings."""

from __future__ import annotations

from anonymizer.clock import FakeClock
from anonymizer.observe.ratelimit import RateLimiter


def test_the_first_speaks_then_one_an_interval_with_the_count_held_back() -> None:
    clock = FakeClock()
    limiter = RateLimiter(1.0, clock)
    assert limiter.admit("late") == 0
    clock.advance(0.4)
    assert limiter.admit("late") is None
    clock.advance(0.4)
    assert limiter.admit("late") is None
    clock.advance(0.2)
    assert limiter.admit("late") == 2
    clock.advance(60)
    assert limiter.admit("late") == 0


def test_kinds_do_not_hold_each_other_back() -> None:
    limiter = RateLimiter(1.0, FakeClock())
    assert limiter.admit("a") == 0
    assert limiter.admit("b") == 0
    assert limiter.admit("a") is None


def test_memory_is_bounded_and_forgets_the_kind_that_spoke_longest_ago() -> None:
    clock = FakeClock()
    limiter = RateLimiter(10.0, clock, max_keys=2)
    for key in ("a", "b", "c"):
        clock.advance(0.1)
        assert limiter.admit(key) == 0
    assert limiter.admit("c") is None
    assert limiter.admit("b") is None
    assert limiter.admit("a") == 0
