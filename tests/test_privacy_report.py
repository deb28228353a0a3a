"""The privacy report: it says what was measured, and calls a missed bar missed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anonymizer.errors import SourceEnded
from anonymizer.evaluate.scores import BINS
from anonymizer.evaluate.video.identity import IdentityCounts
from anonymizer.evaluate.video.judgement import FrameJudgement
from anonymizer.evaluate.video.leaks import ClipScores, JudgedClip, Run, Share
from anonymizer.evaluate.video.truth import FrameTruth
from anonymizer.settings.schema import Settings
from anonymizer.types import Detections, Frame, Target
from scripts.bench.load import Pendulum, as_lines, place
from scripts.bench.privacy_report import OTHER_RATES, WAYS, Measured, RecordedDetector, as_markdown, speed_table
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
        audit=Share(1, 30),
        leaks_by_frame=((0.0, 0.5),),
    )


def report(*, leaked: int, over_mask: float = 0.05, deface_cpu_ms: float = 300.0) -> str:
    ways = [scores(WAYS[0].name, leaked, over_mask), *(scores(way.name, 100) for way in WAYS[1:])]
    ways = [replace(way, leak=Share(25, 1000), cpu_ms=20.0) if way.name == OTHER_RATES[1].name else way for way in ways]
    persons = [replace(score, target=Target.PERSON) for score in ways]
    deface = replace(scores("deface 1.5.0", 90), identities=None, delay_ms=None, audit=None, cpu_ms=deface_cpu_ms)
    return as_markdown([*ways, deface], persons, ["| speeds |"], ["| load |"], 8, Settings())


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
        ({"leaked": 30}, "| faces, as shipped: leak beside deface | a third or less | 0.33 | met |"),
        (
            {"leaked": 30, "over_mask": 0.07},
            "| persons: over-mask beside no tracking | under 1.3 times | 1.40 | missed |",
        ),
        ({"leaked": 30}, "| faces, as shipped: CPU beside deface | a fifth or less | 0.17 | met |"),
        ({"leaked": 50}, "| faces, every frame looked at: leak beside deface | a third or less | 1.11 | missed |"),
        ({"leaked": 50}, "| faces, 5 looks a second: leak beside deface | a third or less | 0.28 | met |"),
        ({"leaked": 50}, "| faces, 5 looks a second: CPU beside deface | a fifth or less | 0.07 | met |"),
        (
            {"leaked": 30, "deface_cpu_ms": 0.0},
            "| faces, as shipped: CPU beside deface | a fifth or less | nothing to compare with | |",
        ),
    ],
)
def test_bars_are_judged_by_what_was_measured(changes: dict[str, Any], line: str) -> None:
    assert line in report(**changes).splitlines()


def test_the_detector_looks_at_each_frame_of_a_clip_once() -> None:
    class Counting:
        looks = 0

        def start(self) -> None:
            pass

        def close(self) -> None:
            pass

        def detect(self, frame: Frame) -> Detections:
            self.looks += 1
            return make_detections((0, 0, float(self.looks), 9), seq=frame.seq)

    counting = Counting()
    detector = RecordedDetector(counting)
    widths = []
    for clip in ("a", "b", "a"):
        detector.clip = Path(clip)
        widths.append(float(np.ravel(detector.detect(make_frame(seq=3)).boxes)[2]))
    assert widths == [1, 2, 1]


def test_leaks_are_told_by_how_fast_the_camera_turns() -> None:
    """It rests, then turns by 9.6 of 960 px in each 40 ms; the face is bare in one frame of the turn."""

    def frame(number: int, x: float, *, bare: bool) -> FrameJudgement:
        truth = FrameTruth(np.array([[x, 0, x + 20, 20]], np.float32), np.array([1], np.int32), np.array([True]))
        flags = np.array([bare])
        return FrameJudgement(truth, number * 40_000_000, flags, flags, flags, 0.0, None, is_shown=True)

    places = [100.0, 100.0, 109.6, 119.2]
    clip = JudgedClip(Target.FACE, [frame(at, x, bare=at == 3) for at, x in enumerate(places)])
    lines = speed_table(Measured([], {WAYS[0].name: [clip], WAYS[-1].name: [clip]}))
    assert lines[0] == "| widths a second | up to 0.02 | up to 0.1 | up to 0.2 | up to 0.5 |"
    assert lines[2] == "| as shipped | 0.0 % of 1 |  of 0 |  of 0 | 50.0 % of 2 |"


def test_a_pendulum_turns_at_each_end_and_keeps_the_time() -> None:
    swing = Pendulum([make_frame(seq=at, pts_ns=at * 40) for at in range(3)], count=6)
    shown = [swing.read() for _ in range(6)]
    assert [place(at, 3) for at in range(6)] == [0, 1, 2, 1, 0, 1]
    assert [frame.pts_ns for frame in shown] == [40, 80, 120, 160, 200, 240]
    with pytest.raises(SourceEnded):
        swing.read()


def test_what_load_does_is_told_by_frames_that_were_shown() -> None:
    (line,) = as_lines([(80, replace(scores("80 ms", 10), frames=100, withheld=50))])[2:]
    assert line == "| 80 ms | **1.0 %** | 4 frames, 160 ms | 2.5 | 0 % | 5.0 % |"
