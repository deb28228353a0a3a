"""Examples show somebody or nobody as they say, in equal numbers; verdicts count what they claim."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizer.errors import DatasetError
from scripts.train.datasets.training_set import TrainingSet
from scripts.train.picture import Picture, Sample
from scripts.train.presence.examples import balanced, bodies
from scripts.train.presence.fitted import fitted
from scripts.train.presence.judge import Answer, hottest, judge, normalised, resized
from scripts.train.presence.sheet import draw, sheet

WIDTH, HEIGHT = 400, 300
NOBODY = np.empty((0, 4), np.float32)


def sample_of(folder: Path, name: str, boxes: list[list[float]], ignored: tuple[int, ...] = ()) -> Sample:
    """People are white on black."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for x1, y1, x2, y2 in np.array(boxes, int).reshape(-1, 4).tolist():
        image[y1:y2, x1:x2] = 255
    cv2.imwrite(str(folder / name), image)
    array = np.array(boxes, np.float32).reshape(-1, 4)
    flags = np.isin(np.arange(len(boxes)), ignored)
    return Sample(folder / name, array, np.zeros(len(boxes), np.int32), flags)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_examples_show_what_they_say_and_are_balanced(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("people")
    samples = (
        sample_of(folder, "two.png", [[50, 40, 90, 160], [200, 60, 240, 170]]),
        sample_of(folder, "doubt.png", [[20, 20, 80, 200], [300, 20, 360, 200]], ignored=(1,)),
        sample_of(folder, "none.png", []),
    )
    examples = balanced(TrainingSet(("person",), samples), np.random.default_rng(seed), per_picture=6)
    assert sum(example.present for example in examples) * 2 == len(examples) > 0
    for example in examples:
        picture = example.load()
        assert min(picture.image.shape[:2]) >= 47
        assert (len(example.people) > 0) == example.present
        if not example.present:
            assert picture.image.max() == 0  # neither people nor doubtful ones
        for x1, y1, x2, y2 in picture.boxes.round().astype(int).tolist():
            assert picture.image[y1:y2, x1:x2].mean() > 230


def test_a_face_stands_for_the_body_below_it(tmp_path: Path) -> None:
    sample = sample_of(tmp_path, "a.png", [[100, 50, 120, 80]])
    sure, every = bodies(sample, ("face",))
    assert sure.tolist() == [[80, 29, 140, 260]]
    assert every.tolist() == sure.tolist()
    assert bodies(sample, ("person",))[0].tolist() == [[100, 50, 120, 80]]


def test_pictures_without_room_for_nobody_are_refused(tmp_path: Path) -> None:
    full = TrainingSet(("person",), (sample_of(tmp_path, "full.png", [[0, 0, WIDTH, HEIGHT]]),))
    with pytest.raises(DatasetError, match="no part with nobody"):
        balanced(full, np.random.default_rng(0), per_picture=3)
    empty = TrainingSet(("person",), (sample_of(tmp_path, "empty.png", []),))
    with pytest.raises(DatasetError, match="no part with somebody"):
        balanced(empty, np.random.default_rng(0), per_picture=3)


def answer(score: float, row: int, column: int) -> Answer:
    activation = np.zeros((4, 8), np.float32)
    activation[row, column] = 3.0
    return Answer(score, activation)


def test_a_verdict_counts_right_answers_and_hits() -> None:
    left = np.array([[0, 0, 0.5, 1]], np.float32)
    answers = [answer(0.9, 0, 1), answer(0.8, 0, 6), answer(0.3, 3, 2), answer(0.1, 0, 0), answer(0.7, 0, 0)]
    verdict = judge(answers, [left, left, left, NOBODY, NOBODY])
    assert verdict.examples == 5
    assert verdict.accuracy == pytest.approx(3 / 5)
    assert verdict.found == pytest.approx(2 / 3)
    assert verdict.quiet == pytest.approx(1 / 2)
    assert verdict.pointing == pytest.approx(2 / 3)
    assert verdict.by_chance == pytest.approx(1 / 2)
    assert "pointing 66.7 % (by chance 50.0 %)" in str(verdict)


def test_nothing_to_judge_gives_zeros() -> None:
    assert judge([], []).accuracy == 0


def test_the_hottest_cell_is_pointed_at_by_its_middle() -> None:
    assert hottest(answer(1, 2, 5).map) == (5.5 / 8, 2.5 / 4)


def test_maps_are_normalised_and_resized_to_the_frame() -> None:
    assert normalised(np.array([[-2, 0], [2, 6]], np.float32)).tolist() == [[0, 0.25], [0.5, 1]]
    assert normalised(np.full((2, 2), 5, np.float32)).max() == 0
    frame = resized(answer(1, 2, 5).map, 80, 40)
    assert frame.shape == (40, 80)
    row, column = divmod(int(frame.argmax()), frame.shape[1])
    assert (row // 10, column // 10) == (2, 5)


def test_pictures_are_stretched_with_their_people() -> None:
    boxes = np.array([[40, 30, 80, 60]], np.float32)
    picture = Picture(np.zeros((300, 400, 3), np.uint8), boxes, np.zeros(1, np.int32), np.zeros(1, np.bool_))
    image, people = fitted(picture, 64, 96)
    assert image.shape == (96, 64, 3)
    assert people.tolist() == pytest.approx(np.array([[0.1, 0.1, 0.2, 0.2]]), abs=1e-6)


def test_a_sheet_shows_map_people_and_score() -> None:
    canvas = np.zeros((96, 96, 3), np.uint8)
    drawn = draw(canvas, np.array([[0, 0, 0.5, 1]], np.float32), answer(0.9, 0, 6))
    assert drawn[6, 78, 0] > 100  # the hot cell
    assert sheet([drawn] * 3, columns=2).shape == (192, 192, 3)
