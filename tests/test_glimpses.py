"""Rules of the table that tells who shows too briefly to be found."""

from __future__ import annotations

from pathlib import Path

import pytest

from anonymizer.evaluate.readers.mot import Row
from anonymizer.evaluate.sample import Label
from anonymizer.evaluate.scores import BINS
from anonymizer.evaluate.video.leaks import Share
from anonymizer.evaluate.video.truth import ClipTruth
from anonymizer.types import Target
from scripts.bench.glimpses import as_lines, count, missed
from scripts.bench.over_mask import Seen
from tests.fakes import make_detections, make_frame, make_planes

BLANK = make_planes(320, 240)


@pytest.mark.parametrize(
    ("is_found", "length", "stride", "share"),
    [
        ([True] * 5, 5, 1, Share(0, 2)),
        ([False] * 5, 5, 1, Share(2, 2)),
        ([False] * 4 + [True], 5, 1, Share(0, 2)),
        ([False] * 4 + [True], 5, 2, Share(2, 4)),
        ([True] * 3, 2, 4, Share(8, 16)),
        ([True] * 4, 5, 1, Share(0, 0)),
        ([], 5, 1, Share(0, 0)),
    ],
    ids=["always", "never", "late", "late, every second frame", "gone before the look", "too short", "nobody"],
)
def test_who_is_found_in_no_look_is_missed(is_found: list[bool], length: int, stride: float, share: Share) -> None:
    assert missed(is_found, length, stride) == share


def test_only_the_look_at_the_frame_in_which_they_are_found_counts() -> None:
    """Somebody of 20 px shows in five frames and is found in the last."""
    rows = {number: [Row(7, Label((10, 10, 20, 20), Target.FACE))] for number in range(1, 6)}
    found = [make_detections(*([(10, 10, 30, 30)] if number == 5 else []), seq=number) for number in range(1, 6)]
    frames = [Seen(number, make_frame(number, planes=BLANK), each) for number, each in enumerate(found, 1)]
    counts = count(ClipTruth(Path("clip"), Target.FACE, rows), frames)
    assert counts[BINS[1], 200, 25] == Share(0, 2)
    assert counts[BINS[1], 200, 5] == Share(8, 10)
    assert counts[BINS[1], 400, 25] == Share(0, 0)
    assert as_lines(counts)[2].startswith("| 16-32 px, 200 ms | 0.0 % |")
    assert as_lines(counts)[2].endswith("| 80.0 % |")


def test_without_a_label_there_is_nothing_to_miss() -> None:
    frames = [Seen(1, make_frame(1, planes=BLANK), make_detections(seq=1))]
    assert count(ClipTruth(Path("clip"), Target.FACE, {}), frames) == {}
    assert len(as_lines({})) == 2
