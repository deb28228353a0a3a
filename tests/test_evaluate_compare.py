"""Rules of comparing two detectors, and of the sheets of what was missed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from anonymizer.cli import main
from anonymizer.errors import DatasetError
from anonymizer.evaluate.chart import draw
from anonymizer.evaluate.command import Request, evaluate
from anonymizer.evaluate.compare import Contender, compare
from anonymizer.evaluate.gallery import CAPTION_PX, CELL_PX, COLUMNS, LIMIT, misses, sheets
from anonymizer.evaluate.precision import make_curve
from anonymizer.evaluate.report import as_json, difference_table
from anonymizer.evaluate.sample import Sample, make_sample
from anonymizer.evaluate.scores import ALL, BINS, sum_up, verdicts
from anonymizer.evaluate.trial import Trial
from anonymizer.settings.schema import Settings
from anonymizer.types import Target
from tests.fakes import no_detector

FACE = (20.0, 20.0, 40.0, 40.0)
OTHER = (100.0, 20.0, 140.0, 60.0)
THRESHOLD = 0.5


def trial(
    truths: Sequence[tuple[float, ...]],
    found: Sequence[tuple[float, ...]] = (),
    scores: list[float] | None = None,
    *,
    bare: bool = False,
    ignored: bool = False,
) -> Trial:
    count, boxes = len(truths), np.array(found, np.float32).reshape(-1, 4)
    rated = np.array([0.9] * len(found) if scores is None else scores, np.float32)
    return Trial(
        boxes=np.array(truths, np.float32).reshape(-1, 4),
        ignored=np.full(count, ignored),
        crowd=np.zeros(count, np.bool_),
        bare=np.full(count, bare),
        bare_head=np.full(count, bare),
        over_mask=0.0,
        found=boxes,
        scores=rated,
        counted=boxes[rated >= THRESHOLD],
        cpu_ns=0,
    )


def contender(name: str, *trials: Trial, threshold: float | None = THRESHOLD) -> Contender:
    return Contender(name, threshold, trials)


def noisy(rng: np.random.Generator, hit_rate: float, pictures: int = 60) -> tuple[Trial, ...]:
    """Pictures of three faces, each found with that probability, and false alarms."""
    trials = []
    for _ in range(pictures):
        truths = [(40.0 * at, 10.0, 40.0 * at + 20, 34.0) for at in range(3)]
        found = [box for box in truths if rng.random() < hit_rate]
        found += [(float(x), 60.0, float(x) + 20, 84.0) for x in rng.uniform(0, 100, 2)]
        scores = np.sort(rng.uniform(0.05, 1, len(found)))[::-1]
        trials.append(trial(truths, found, scores.tolist(), bare=bool(rng.random() > hit_rate)))
    return tuple(trials)


# --- differences ------------------------------------------------------------------------------------------------


def test_a_detector_does_not_differ_from_itself() -> None:
    own = noisy(np.random.default_rng(0), 0.7)
    found = compare(Contender("a", 0.5, own), Contender("b", 0.5, own), resamples=50, seed=0).overall
    assert str(found.average_precision) == str(found.leak) == "+0.0 (+0.0 to +0.0)"


def test_a_difference_is_that_of_the_figures_in_the_table() -> None:
    rng = np.random.default_rng(1)
    better, worse = (Contender(name, 0.5, noisy(rng, rate)) for name, rate in (("better", 0.9), ("worse", 0.5)))
    found = compare(better, worse, resamples=200, seed=0)
    first, second = (sum_up(each.name, Target.FACE, each.trials, 0.5).overall for each in (better, worse))
    assert found.overall.average_precision is not None
    assert found.overall.leak is not None
    assert first.average_precision is not None
    assert second.average_precision is not None
    expected = first.average_precision - second.average_precision
    assert found.overall.average_precision.difference == pytest.approx(expected)
    assert found.overall.leak.difference == pytest.approx((first.leak or 0) - (second.leak or 0))
    assert 0 < found.overall.average_precision.low < expected < found.overall.average_precision.high
    assert found.bins[1].average_precision == found.overall.average_precision  # all are of 24 px
    assert found.bins[0].average_precision is found.bins[0].leak is None


def test_a_resampling_judges_pictures_as_often_as_they_were_drawn() -> None:
    """The weighted average precision is that of a data set with repeated pictures."""
    trials = noisy(np.random.default_rng(2), 0.6, pictures=8)
    nothing = tuple(trial(each.boxes.tolist()) for each in trials)
    found = compare(Contender("a", 0.5, trials), Contender("b", 0.5, nothing), resamples=1, seed=7).overall
    repeated = [trials[at] for at in np.random.default_rng(7).integers(8, size=8)]
    assert found.average_precision is not None
    assert found.average_precision.low == found.average_precision.high
    expected = make_curve([verdicts(each, ALL) for each in repeated]).average_precision
    assert found.average_precision.low == pytest.approx(expected)


def test_the_same_seed_gives_the_same_interval_and_more_pictures_a_narrower_one() -> None:
    def width(pictures: int, seed: int = 0) -> float:
        rng = np.random.default_rng(3)
        pair = (Contender(name, None, noisy(rng, rate, pictures)) for name, rate in (("a", 0.8), ("b", 0.7)))
        leak = compare(*pair, resamples=200, seed=seed).overall.leak
        assert leak is not None
        return leak.high - leak.low

    assert width(20) == width(20) != width(20, seed=1)
    assert width(160) < width(20) / 2


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(30):
        pair = (Contender(name, None, noisy(rng, rate, 30)) for name, rate in (("a", 0.8), ("b", 0.7)))
        leak = compare(*pair, resamples=200, seed=0).overall.leak
        assert leak is not None
        inside += leak.low <= -0.1 <= leak.high
    assert inside >= 26


def test_another_tool_without_detections_is_compared_by_its_leak_alone() -> None:
    tool = contender("tool", trial([FACE], bare=True), threshold=None)
    found = compare(contender("model", trial([FACE], [FACE])), tool, resamples=5, seed=0).overall
    assert found.average_precision is None
    assert str(found.leak) == "-100.0 (-100.0 to -100.0)"


def test_nothing_labelled_and_no_pictures_mean_nothing() -> None:
    for trials in ((), (trial([]),)):
        found = compare(contender("a", *trials), contender("b", *trials), resamples=5, seed=0)
        assert found.overall.average_precision is found.overall.leak is None
        assert "| a, AP50 | -" in difference_table([found])
        scores = [sum_up(each, Target.FACE, trials, 0.5) for each in ("a", "b")]
        assert json.loads(as_json(scores, [found]))[0]["compared"]["overall"]["ap50"] is None
        assert draw(scores, [found]).shape[0] > draw(scores, []).shape[0]


def test_a_label_that_no_resampling_shows_says_nothing() -> None:
    rare = (trial([FACE], [FACE]), trial([]))
    found = compare(contender("a", *rare), contender("b", *rare), resamples=1, seed=0).overall.leak
    assert str(found) == "+0.0 (-100.0 to +100.0)"


def test_one_detector_alone_has_no_table_of_differences() -> None:
    assert difference_table([]) == ""


# --- sheets of misses -------------------------------------------------------------------------------------------


def sample() -> Sample:
    return make_sample("street/a.png", lambda: np.full((100, 200, 3), 90, np.uint8), [])


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (trial([FACE], [FACE], bare=False), None),
        (trial([FACE], bare=True, ignored=True), None),
        (trial([FACE]), "20 px, missed, unseen"),  # by its own detections, yet covered by another's mask
        (trial([FACE], [FACE], [0.3], bare=True), "20 px, missed and bare, score 0.30"),
        (trial([FACE], [FACE], bare=True), "20 px, bare, score 0.90"),
        (trial([FACE], [(20, 20, 28, 28)], bare=True), "20 px, missed and bare, score 0.90"),
    ],
)
def test_a_miss_says_what_happened_to_the_face(made: Trial, text: str | None) -> None:
    found = misses([sample()], contender("a", made), BINS[1])
    assert [str(each) for each in found] == ([] if text is None else [text])


def test_misses_come_by_falling_height_each_on_the_sheet_of_its_height() -> None:
    low = (60.0, 20.0, 80.0, 38.0)
    one = contender("a", trial([low, OTHER, FACE]))
    assert [each.height_px for each in misses([sample()], one, BINS[1])] == [20, 18]
    assert [str(heights) for heights, _ in sheets([sample()], one)] == ["16-32", "32-64"]


def test_of_another_tool_only_bare_faces_are_shown() -> None:
    tool = contender("tool", trial([FACE], bare=True), trial([FACE]), threshold=None)
    assert [str(each) for each in misses([sample(), sample()], tool, BINS[1])] == ["20 px, bare, unseen"]


def test_a_sheet_holds_a_limited_number_of_cells_also_from_the_edge_of_the_picture() -> None:
    rows = [(180.0, 80.0, 200.0, 100.0), (0.0, 0.0, 20.0, 20.0)]
    many = contender("a", *(trial(rows) for _ in range(LIMIT)))
    ((_, sheet),) = sheets([sample()] * LIMIT, many)
    assert sheet.shape == (LIMIT // COLUMNS * (CELL_PX + CAPTION_PX), COLUMNS * CELL_PX, 3)
    assert (sheet[CELL_PX // 2, CELL_PX // 2] == 90).all()  # in the label
    assert (sheet[CELL_PX - 3, CELL_PX - 3] == 128).all()  # beside the picture


def test_the_command_writes_a_sheet_for_each_height_that_has_misses(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), np.full((100, 200, 3), 90, np.uint8))
    entry = {"file": "a.png", "boxes": [{"xywh": [20, 20, 20, 20], "ignore": False}]}
    (tmp_path / "faces.json").write_text(json.dumps([entry]))
    folder = tmp_path / "out/misses"
    evaluate(Request(tmp_path, anonymized=tmp_path / "images", gallery=folder), Settings(), no_detector, lambda _: 0.2)
    assert [path.name for path in folder.iterdir()] == ["images_16-32px.png"]
    request = Request(tmp_path, anonymized=tmp_path / "images", gallery=tmp_path / "faces.json")
    with pytest.raises(DatasetError, match="cannot be made"):
        evaluate(request, Settings(), no_detector, lambda _: 0.2)


def test_the_same_model_named_twice_is_measured_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), np.full((100, 200, 3), 90, np.uint8))
    (tmp_path / "faces.json").write_text(json.dumps([{"file": "a.png", "boxes": []}]))
    target = ["--target", "face"]
    model = ["--model", "anonymizer-face-small-int8"]
    assert main(["evaluate", "detect", str(tmp_path), *target, *model, *model, "--resamples", "9"]) == 0
    assert capsys.readouterr().out.count("anonymizer-face-small-int8") == 1
