"""Rules of the table that tells what the audit would notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from anonymizer.errors import DatasetError
from anonymizer.evaluate.readers.mot import Row
from anonymizer.evaluate.sample import Label
from anonymizer.evaluate.scores import BINS
from anonymizer.evaluate.video.leaks import Share
from anonymizer.evaluate.video.truth import ClipTruth
from anonymizer.types import Target
from scripts.bench.over_mask import Seen
from scripts.bench.second_look import as_lines, film, found_in
from tests.fakes import make_detections, make_frame, make_planes

BLANK = make_planes(320, 240)
SMALL, LARGE, IGNORED = (10, 10, 20, 20), (100, 100, 70, 70), (200, 10, 40, 40)


def clip(*boxes: tuple[int, int, int, int]) -> ClipTruth:
    rows = [Row(number, Label(box, Target.FACE, ignored=box is IGNORED)) for number, box in enumerate(boxes)]
    return ClipTruth(Path("clip"), Target.FACE, {1: rows})


def seen(*boxes: tuple[float, float, float, float]) -> Seen:
    return Seen(1, make_frame(1, planes=BLANK), make_detections(*boxes, seq=1))


def test_faces_count_by_their_height_and_those_that_are_not_judged_do_not() -> None:
    found = found_in(clip(SMALL, LARGE, IGNORED), seen((10, 10, 30, 30), (200, 10, 240, 50)))
    assert found == {BINS[1]: Share(1, 1), BINS[3]: Share(0, 1)}
    head, _, row = as_lines("eye", 0.8, found, Share(2, 9))
    assert head == "| audit | at | 16-32 px | 64+ px | alarms |"
    assert row == "| eye | 0.8 | 100 % of 1 | 0 % of 1 | 2 of 9 |"


def test_without_a_label_only_alarms_count() -> None:
    assert found_in(clip(), seen((10, 10, 30, 30))) == {}
    assert as_lines("eye", 0.5, {}, Share(0, 3))[2] == "| eye | 0.5 | 0 of 3 |"


def test_a_video_needs_no_labels_and_a_folder_does(tmp_path: Path) -> None:
    video = tmp_path / "yard.mp4"
    video.touch()
    assert film(video).rows == {}
    with pytest.raises(DatasetError):
        film(tmp_path / "..")
