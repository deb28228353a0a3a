"""Rules of the bench that hides people from the detector: who is the truth, and who is hidden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anonymizer.types import Detections, Size, Target
from scripts.bench.misses import LEAST_FRAMES, MissingDetector, Recording, hidden_in, linked, truth_of
from tests.fakes import make_detections, make_frame

Box = tuple[float, float, float, float]


def walker(at: int, start: float = 0.0) -> Box:
    return (start + 5 * at, 10.0, start + 5 * at + 20, 40.0)


def in_frames(*frames: list[Box], score: float = 0.9) -> tuple[Detections, ...]:
    return tuple(make_detections(*boxes, seq=at, score=score) for at, boxes in enumerate(frames))


def test_whoever_overlaps_from_frame_to_frame_is_one_person() -> None:
    found = in_frames(*[[walker(at), walker(at, 200)] for at in range(LEAST_FRAMES)])
    people = linked(found, Target.FACE)
    assert [sorted(person) for person in people] == [list(range(LEAST_FRAMES))] * 2
    assert tuple(people[0][3].tolist()) == walker(3)


@pytest.mark.parametrize("absent", [0, LEAST_FRAMES - 1, 3])
def test_who_is_missed_before_enough_frames_is_nobody(absent: int) -> None:
    found = in_frames(*[[] if at == absent else [walker(at)] for at in range(LEAST_FRAMES)])
    assert linked(found, Target.FACE) == ()


def test_who_scores_little_or_is_of_another_kind_is_nobody() -> None:
    frames = [[walker(at)] for at in range(LEAST_FRAMES)]
    assert linked(in_frames(*frames, score=0.2), Target.FACE) == ()
    assert linked(in_frames(*frames), Target.PERSON) == ()
    assert linked((), Target.FACE) == ()


def test_everybody_is_hidden_in_half_of_the_frames_for_as_long_as_asked() -> None:
    person = {at: np.zeros(4, np.float32) for at in range(4000)}
    hidden = hidden_in(person, 8, np.random.default_rng(1))
    runs = sum(at - 1 not in hidden for at in hidden)
    assert len(hidden) / len(person) == pytest.approx(0.5, abs=0.1)
    assert len(hidden) / runs == pytest.approx(8, rel=0.2)
    assert hidden == hidden_in(person, 8, np.random.default_rng(1))
    assert hidden_in({}, 8, np.random.default_rng(1)) == frozenset()


def test_only_the_hidden_are_missing_and_all_that_is_of_them() -> None:
    found = in_frames(*[[walker(at), (5.0 * at, 12.0, 5 * at + 20, 42.0), walker(at, 200)] for at in range(8)])
    recording = Recording(Path("clip"), found, linked(found, Target.FACE))
    first = next(at for at, person in enumerate(recording.people) if tuple(person[0].tolist()) == walker(0))
    hidden = [frozenset({4}) if at == first else frozenset[int]() for at in range(len(recording.people))]
    detector = MissingDetector(recording, hidden)
    shown = [detector.detect(make_frame(at)).boxes.tolist() for at in range(8)]
    assert shown[4] == [list(walker(4, 200))]
    assert [len(boxes) for at, boxes in enumerate(shown) if at != 4] == [3] * 7


def test_the_truth_counts_frames_from_one() -> None:
    found = in_frames(*[[walker(at)] for at in range(LEAST_FRAMES)])
    truth = truth_of(Recording(Path("clip"), found, linked(found, Target.FACE)), Target.FACE)
    assert truth.at(1, Size(320, 240)).boxes.tolist() == [list(walker(0))]
    assert truth.at(LEAST_FRAMES, Size(320, 240)).judged.tolist() == [True]
    assert len(truth.at(LEAST_FRAMES + 1, Size(320, 240)).boxes) == 0
