"""The dataset commands do from the command line what their modules do."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from anonymizer.errors import DatasetError
from scripts.train.augment import Augmentation, Augmenter
from scripts.train.cli import main
from scripts.train.datasets.expand import expand
from scripts.train.datasets.forms import Form, read_set, write_set
from scripts.train.datasets.sheet import contact_sheet, draw_labels
from scripts.train.datasets.split import source_of, split_set
from scripts.train.datasets.stats import as_table, measure, plot
from scripts.train.datasets.training_set import TrainingSet
from scripts.train.picture import Sample
from tests.pictures import read_bgr
from tests.train.test_dataset_clips import ava_rows, write_clip


def made(folder: Path, names: list[str]) -> TrainingSet:
    samples = []
    for at, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((60, 80, 3), at % 250, np.uint8))
        count = at % 3
        boxes = np.array([[5 + 30 * each, 10, 25 + 30 * each, 40] for each in range(count)], np.float32).reshape(-1, 4)
        samples.append(Sample(folder / name, boxes, np.zeros(count, np.int32), np.arange(count) == 1))
    return TrainingSet(("face",), tuple(samples))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    write_set(made(source, [f"clip{at // 3}_{at:04d}.png" for at in range(12)]), tmp_path / "set", Form.JSON)
    return tmp_path / "set" / "faces.json"


def test_labels_are_converted(labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "convert", str(labels), "--to", "csv", "--out", str(tmp_path / "csv")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'csv'}: 12 pictures, 12 boxes; left out: 4 ignored boxes\n"
    assert len(read_set(tmp_path / "csv" / "annotations.csv").samples) == 12


def test_an_error_is_explained_and_gives_status_1(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "stats", str(labels.parent / "none.json")]) == 1
    assert "none.json: cannot be read" in capsys.readouterr().err
    assert main(["dataset", "stats", str(labels), "--class", "dog"]) == 1
    assert "no class 'dog'" in capsys.readouterr().err


def test_statistics_are_printed_and_drawn(labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "stats", str(labels), "--plot", str(tmp_path / "plot.png")]) == 0
    out = capsys.readouterr().out
    assert "12 pictures, 4 without boxes" in out
    assert "face: 8 boxes, 4 ignored, median 30 px high" in out
    assert cv2.imread(str(tmp_path / "plot.png")) is not None


def test_figures_of_a_data_set_are_counted_by_class(tmp_path: Path) -> None:
    stats = measure(made(tmp_path, ["a.png", "b.png", "c.png"]))
    assert (stats.pictures, stats.empty) == (3, 1)
    face = stats.classes[0]
    assert face.heights.tolist() == [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]
    assert face.per_picture.tolist() == [1, 2, 0, 0, 0, 0, 0, 0, 0]
    assert face.middles.sum() == pytest.approx(1)
    assert divmod(int(face.middles.argmax()), face.middles.shape[1]) == (10, 4)


def test_an_empty_set_has_figures_too() -> None:
    stats = measure(TrainingSet(("face",), ()))
    assert "face: 0 boxes" in as_table(stats)
    assert plot(stats).shape[2] == 3
    assert plot(measure(TrainingSet((), ()))).shape[2] == 3


@pytest.mark.parametrize("extra", [[], ["--augmented"]])
def test_pictures_are_shown_on_a_sheet(labels: Path, tmp_path: Path, extra: list[str]) -> None:
    out = tmp_path / "sheet.png"
    assert main(["dataset", "view", str(labels), "--out", str(out), "--count", "8", "--columns", "4", *extra]) == 0
    assert read_bgr(out).shape == (640, 1280, 3)


def test_boxes_are_drawn_and_ignored_ones_dotted(tmp_path: Path) -> None:
    picture = made(tmp_path, ["a.png", "b.png", "c.png"]).samples[2].load()
    drawn = draw_labels(picture, ("face",))
    solid, dotted = (drawn[10, x1 : x1 + 20].sum(axis=1) > 60 for x1 in (5, 35))
    assert solid.all()
    assert dotted.any()
    assert not dotted.all()
    assert contact_sheet([], ("face",)).shape == (320, 320, 3)


def test_frames_of_a_clip_stay_in_one_part(labels: Path, tmp_path: Path) -> None:
    argv = ["dataset", "split", str(labels), "--part", "train=0.5", "--part", "val=0.5", "--to", "json"]
    assert main([*argv, "--out", str(tmp_path / "parts")]) == 0
    parts = [read_set(tmp_path / "parts" / name / "faces.json") for name in ("train", "val")]
    sources = [{source_of(sample.path.stem) for sample in part.samples} for part in parts]
    assert not sources[0] & sources[1]
    assert sum(len(part.samples) for part in parts) == 12


def test_a_picture_stays_in_its_part_when_others_are_added(tmp_path: Path) -> None:
    names = [f"p{chr(97 + at % 26)}{chr(97 + at // 26)}.png" for at in range(200)]
    every = made(tmp_path, names)
    some = TrainingSet(every.classes, every.samples[::3])
    shares = {"train": 0.7, "val": 0.3}
    in_all = {sample.path for sample in split_set(every, shares)["val"].samples}
    in_some = {sample.path for sample in split_set(some, shares)["val"].samples}
    assert in_some == in_all & {sample.path for sample in some.samples}
    assert 0.2 < len(in_all) / 200 < 0.4
    assert {sample.path for sample in split_set(every, shares, seed=1)["val"].samples} != in_all


@pytest.mark.parametrize("shares", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}])
def test_shares_must_sum_to_1(shares: dict[str, float]) -> None:
    with pytest.raises(DatasetError, match="sum to 1"):
        split_set(TrainingSet((), ()), shares)


@pytest.mark.parametrize(
    ("stem", "source"),
    [("yard_00012000", "yard"), ("walk_0902.5", "walk"), ("000017", "000017"), ("a-3", "a"), ("b", "b")],
)
def test_the_source_of_a_picture_is_its_name_without_the_frame(stem: str, source: str) -> None:
    assert source_of(stem) == source


def test_a_set_is_enlarged_by_a_factor(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "more"
    assert main(["dataset", "expand", str(labels), "--factor", "3", "--to", "json", "--out", str(out)]) == 0
    data = read_set(out / "faces.json")
    assert len(data.samples) == 36
    assert len({sample.path.stem.partition("_augmented")[0] for sample in data.samples}) == 12


def test_a_copy_depends_on_name_number_and_seed_alone(tmp_path: Path) -> None:
    data = made(tmp_path, ["a.png", "b.png", "c.png"])
    alone = TrainingSet(data.classes, data.samples[2:])
    augmenter = Augmenter(Augmentation())
    both = [
        expand(each, tmp_path / name, augmenter, factor=2, seed=3) for each, name in ((data, "all"), (alone, "alone"))
    ]
    assert both[0].samples[-1].path.read_bytes() == both[1].samples[-1].path.read_bytes()
    assert both[0].samples[-1].boxes.tolist() == both[1].samples[-1].boxes.tolist()


def test_pictures_that_only_the_ending_tells_apart_keep_their_own_copies(tmp_path: Path) -> None:
    data = made(tmp_path, ["a.jpg", "a.png", "b.png"])
    copies = expand(data, tmp_path / "out", Augmenter(Augmentation()), factor=2, seed=1).samples[1::2]
    names = ["a.jpg_augmented1.jpg", "a.png_augmented1.jpg", "b_augmented1.jpg"]
    assert [sample.path.name for sample in copies] == names
    assert all(sample.path.is_file() for sample in copies)


def test_frames_of_ava_are_cut_and_missing_videos_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(tmp_path / "walk.mp4", seconds=3)
    (tmp_path / "ava.csv").write_text("\n".join(ava_rows("walk", [1, 9]) + ava_rows("lost", [1])) + "\n")
    out = tmp_path / "out"
    argv = ["dataset", "from-ava", str(tmp_path / "ava.csv"), "--videos", str(tmp_path), "--to", "json"]
    assert main([*argv, "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: 1 pictures, 2 boxes",
        "missing: lost",
        "past the end of its file: walk_0009",
    ]
    assert len(read_set(out / "persons.json").samples[0].boxes) == 2


@pytest.mark.parametrize("wanted", [["--target", "person"], []], ids=["persons", "whatever is found"])
def test_recordings_are_labelled_with_the_shipped_models(tmp_path: Path, wanted: list[str]) -> None:
    write_clip(tmp_path / "walk.mp4", seconds=1)
    argv = ["dataset", "from-clip", str(tmp_path / "walk.mp4"), "--every-s", "1", *wanted, "--to", "voc"]
    assert main([*argv, "--out", str(tmp_path / "out")]) == 0
    assert [path.name for path in (tmp_path / "out" / "JPEGImages").iterdir()] == ["walk_00000000.jpg"]
