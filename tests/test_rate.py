"""A rate limit is even, and saves nothing up."""

from __future__ import annotations

import pytest

from anonymizer.rate import RateLimit

MS = 1_000_000


@pytest.mark.parametrize(
    ("most_per_s", "fps", "expected"),
    [(None, 25, 100), (10, 25, 40), (10, 30, 34), (12.5, 25, 50), (25, 25, 100), (60, 25, 100), (1, 25, 4)],
)
def test_the_rate_is_limited_evenly(most_per_s: float | None, fps: int, expected: int) -> None:
    limit = RateLimit(most_per_s)
    assert sum(limit.passes(round(i * 1e9 / fps)) for i in range(100)) == expected


def test_after_a_pause_the_rate_limit_does_not_let_a_burst_through() -> None:
    limit = RateLimit(10)
    pts_ms = [0, 100, 5000, 5010, 5020, 5100]
    assert [pts for pts in pts_ms if limit.passes(pts * MS)] == [0, 100, 5000, 5100]
