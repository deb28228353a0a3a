"""Timestamps grow whatever the camera sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.capture.timeline import Timeline

MS = 1_000_000
HOUR_MS = 3_600_000


def placed(pts_ms: list[int | None], arrival_ms: list[int], step_ms: int | None = None) -> list[int]:
    timeline = Timeline(None if step_ms is None else step_ms * MS)
    return [
        timeline.place(None if pts is None else pts * MS, at * MS) // MS
        for pts, at in zip(pts_ms, arrival_ms, strict=True)
    ]


@pytest.mark.parametrize(
    ("pts_ms", "arrival_ms", "expected"),
    [
        ([70, 110, 150], [5, 50, 80], [70, 110, 150]),  # sane stream times are kept as they are
        ([None, 66, 133], [0, 60, 130], [0, 66, 133]),  # libav does not know the first
        ([None, None, None], [0, 40, 90], [0, 40, 90]),  # no times at all
        ([0, None, 80], [0, 41, 80], [0, 41, 80]),  # one is missing
        ([1000, 1040, 0, 40], [0, 40, 85, 120], [1000, 1040, 1085, 1125]),  # the camera starts counting again
        ([0, 40, HOUR_MS, HOUR_MS + 40], [0, 40, 80, 120], [0, 40, 80, 120]),  # the camera sets its clock
        ([0, 60_000], [0, 60_000], [0, 60_000]),  # a real pause
        ([0, 0], [0, 0], [0, 1]),  # the same time twice
    ],
)
def test_live_times(pts_ms: list[int | None], arrival_ms: list[int], expected: list[int]) -> None:
    assert placed(pts_ms, arrival_ms) == expected


@pytest.mark.parametrize(
    ("pts_ms", "expected"),
    [
        ([0, HOUR_MS], [0, HOUR_MS]),  # a time-lapse film may jump
        ([None, None, None], [0, 40, 80]),  # a raw stream has no times
        ([0, 40, 0, 40], [0, 40, 80, 120]),  # films glued together
    ],
)
def test_times_of_files_do_not_depend_on_when_they_are_read(pts_ms: list[int | None], expected: list[int]) -> None:
    assert placed(pts_ms, [0] * len(pts_ms), step_ms=40) == expected


@given(st.lists(st.tuples(st.none() | st.integers(-(10**15), 10**15), st.integers(0, 10**12)), max_size=30))
def test_times_always_grow(stream: list[tuple[int | None, int]]) -> None:
    timeline = Timeline()
    arrival = 0
    last: int | None = None
    for pts_ns, wait_ns in stream:
        arrival += wait_ns
        now = timeline.place(pts_ns, arrival)
        assert last is None or now > last
        last = now
