"""Rules of the table that tells which part of the pipeline owes how much over-mask."""

from __future__ import annotations

from pathlib import Path

import pytest

from anonymizer.evaluate.video.truth import ClipTruth
from anonymizer.settings.schema import Settings
from anonymizer.types import Target
from scripts.bench.over_mask import ROWS, Seen, as_lines, shares
from tests.fakes import make_detections, make_frame, make_planes

BOX = (40.0, 40.0, 60.0, 60.0)
BLANK = make_planes(320, 240)  # nobody is found by their looks
NOWHERE = ClipTruth(Path("clip"), Target.FACE, {})


def table(*found_in: int, count: int = 60, leaps_in: int = 61, leap_px: float = 0.0) -> dict[str, float]:
    """A face, labelled nowhere, is detected in these frames, from one of them on elsewhere."""
    frames = []
    for number in range(1, count + 1):
        x1, y1, x2, y2 = BOX
        dx = leap_px if number >= leaps_in else 0.0
        boxes = ((x1 + dx, y1, x2 + dx, y2),) if number in found_in else ()
        found = make_detections(*boxes, target=Target.FACE, seq=number)
        frames.append(Seen(number, make_frame(number, pts_ns=number * 40_000_000, planes=BLANK), found))
    return shares(NOWHERE, frames, Settings())


def test_every_row_is_owed_to_its_cause() -> None:
    sums = table(*range(20, 26), *range(30, 36))
    assert all(sums[row] > 0 for row in ROWS if row != "the tracks that they support")
    steady = table(*range(1, 61))
    assert [row for row in ROWS if steady[row] > 0] == ["detections and their margin"]


def test_the_place_left_where_a_track_goes_on_elsewhere_counts_as_a_tail() -> None:
    sums = table(*range(20, 61), leaps_in=40, leap_px=15.0)
    assert sums["tails of tracks never seen again: boxes"] > 0


def test_rows_add_up() -> None:
    sums = table(5, 20)
    lines = as_lines(sums, 60)
    assert len(lines) == len(ROWS) + 3
    parts = [float(line.split("|")[2].split("%")[0]) for line in lines[2:-1]]
    assert float(lines[-1].split("**")[1].split("%")[0]) == pytest.approx(sum(parts), abs=0.05)


def test_of_nobody_nothing_is_owed() -> None:
    assert set(table().values()) == {0.0}
