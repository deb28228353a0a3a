"""Plausible mistakes are explained in one line, before work that takes long, and leave nothing in the way."""

# ruff: noqa: E402 - the imports need torch

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")
pytest.importorskip("onnxruntime", reason="needs the extra: pip install -e '.[train]'")

from anonymizer.errors import DatasetError
from scripts.train import teach
from scripts.train.cli import main
from scripts.train.datasets import commands
from scripts.train.datasets.forms import Form, write_set
from scripts.train.datasets.training_set import TrainingSet
from scripts.train.picture import Sample
from scripts.train.presence.network import load_imagenet, trunk
from scripts.train.presence.starting import load_net
from scripts.train.stored import load_stored

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"


def two_classes(folder: Path) -> TrainingSet:
    """One picture with a person and a face."""
    cv2.imwrite(str(folder / "a.png"), np.zeros((40, 40, 3), np.uint8))
    boxes = np.array([[1, 1, 20, 30], [5, 5, 15, 15]], np.float32)
    sample = Sample(folder / "a.png", boxes, np.array([0, 1], np.int32), np.zeros(2, np.bool_))
    return TrainingSet(("person", "face"), (sample,))


@pytest.fixture
def labels(tmp_path: Path) -> str:
    write_set(two_classes(tmp_path), tmp_path / "set", Form.COCO)
    return str(tmp_path / "set" / "annotations.json")


def explained(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The error of a command that is to fail."""
    assert main(list(argv)) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [JPEG * 20, b"", b"TFL3" * 9, b"step,class\n1,face\n", b"PK\x03\x04" * 9, pickle.dumps({"a": Path("x")})],
    ids=["JPEG", "empty", "TFLite", "CSV", "ZIP", "code"],
)
def test_a_file_that_is_no_checkpoint_is_refused_without_advice_to_run_its_code(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "wrong.pt"
    path.write_bytes(content)
    for load in (load_net, lambda file: load_imagenet(trunk(3), file), lambda file: load_stored(file, "checkpoint")):
        with pytest.raises(DatasetError, match=r"wrong.pt: is no ") as caught:
            load(path)
        assert "weights_only" not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not str(caught.value).endswith(": ")


def test_commands_refuse_a_file_that_is_no_checkpoint(
    labels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, run = str(tmp_path / "a.png"), str(tmp_path / "run")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    torch.save({"average": {}, "recipe": {"file": "abc"}}, tmp_path / "slim.pt")
    missing = explained(capsys, "fit", labels, "--run", run, "--network", "tiny", "--start-from", str(tmp_path / "no"))
    assert "cannot be read: No such file" in missing
    assert "none of its tensors fits" in explained(
        capsys, "fit", labels, "--run", run, "--network", "tiny", "--start-from", str(tmp_path / "slim.pt")
    )
    for name, message in ((wrong, "is not a file of PyTorch"), (str(tmp_path / "list.pt"), "no tensors by name")):
        assert message in explained(capsys, "export", name, labels, "--name", "x", "--out", run)
    assert "of another command" in explained(
        capsys, "export", str(tmp_path / "slim.pt"), labels, "--name", "x", "--out", run
    )


def test_pictures_are_written_to_names_of_pictures_only(
    labels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "more.txt")
    assert "more.txt: is no name of a picture: end it in .png" in explained(
        capsys, "dataset", "view", labels, "--out", out
    )
    below_a_file = str(tmp_path / "a.png" / "sheet.png")
    assert "cannot be made a folder" in explained(capsys, "dataset", "view", labels, "--out", below_a_file)


def test_a_target_that_is_a_file_or_below_one_is_refused(
    labels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.png"
    assert "a.png: is a file" in explained(capsys, "dataset", "convert", labels, "--out", str(file))
    below = str(file / "out")
    assert "cannot be made a folder" in explained(capsys, "dataset", "convert", labels, "--out", below)
    assert "a.png: is a file" in explained(
        capsys, "dataset", "split", labels, "--part", "a.png=1", "--out", str(tmp_path)
    )
    assert file.is_file()
    run = explained(capsys, "fit", labels, "--run", str(file), "--network", "tiny", "--steps", "1")
    assert "a.png: cannot be made a folder: it is a file" in run


@pytest.mark.parametrize("argv", [["convert"], ["split", "--part", "b=0.5", "--part", "a=0.5"]])
def test_what_fails_leaves_nothing_in_the_way_of_the_next_try(argv: list[str], tmp_path: Path) -> None:
    for name in "abcdefgh":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((40, 40, 3), np.uint8))
    empty = (np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, np.bool_))
    samples = tuple(Sample(tmp_path / f"{name}.png", *empty) for name in "abcdefgh")
    write_set(TrainingSet(("face",), samples), tmp_path / "set", Form.JSON)
    gone = tmp_path / "set" / "images" / "h.png"
    command = ["dataset", argv[0], str(tmp_path / "set" / "faces.json"), *argv[1:], "--out", str(tmp_path / "out")]
    gone.rename(tmp_path / "kept.png")
    assert main(command) == 1
    assert not [path for path in tmp_path.glob("out/**/*") if path.is_file()]
    (tmp_path / "kept.png").rename(gone)
    assert main(command) == 0


@pytest.mark.parametrize("form", ["wider", "json"])
def test_a_form_of_one_class_is_refused_before_anything_is_looked_at(
    form: str, labels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_detector", lambda _: pytest.fail("looked"))
    monkeypatch.setattr(teach, "look", lambda *_: pytest.fail("looked"))
    out = ("--to", form, "--out", str(tmp_path / "out"))
    for argv in (
        ("dataset", "from-clip", str(tmp_path / "yard.mp4")),
        ("dataset", "label", labels, "--target", "face"),
        ("teach", labels, "--teacher", "centerface-float32"),
        ("dataset", "expand", labels),
    ):
        assert "not face and person: choose by --class or --target" in explained(capsys, *argv, *out)
    if form == "wider":
        assert "carries face, not person" in explained(capsys, "dataset", "from-ava", "x.csv", "--videos", ".", *out)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_is_refused_before_anything_is_looked_at(
    labels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_detector", lambda _: pytest.fail("looked"))
    assert "has files already" in explained(capsys, "dataset", "label", labels, "--out", str(tmp_path))


def test_a_teacher_that_finds_nothing_of_the_kind_is_named(
    labels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("teach", labels, "--teacher", "centerface-float32", "--target", "person", "--out", str(tmp_path / "out"))
    assert "centerface-float32 finds face, no person: name another --teacher" in explained(capsys, *argv)


@pytest.mark.parametrize(
    "argv",
    [
        ["teach", "x", "--teacher", "y", "--out", "z", "--zoom", "0"],
        ["teach", "x", "--teacher", "y", "--out", "z", "--zoom", "nan"],
        ["teach", "x", "--teacher", "y", "--out", "z", "--alone", "80"],
        ["fit", "x", "--run", "y", "--batch", "0"],
        ["fit", "x", "--run", "y", "--steps", "0"],
        ["fit", "x", "--run", "y", "--save-every", "0"],
        ["fit", "x", "--run", "y", "--canvas-px", "-32"],
        ["fit", "x", "--run", "y", "--frozen", "2"],
        ["fit", "x", "--run", "y", "--workers", "-1"],
        ["slim", "fit", "x", "y", "--run", "z", "--batch", "0"],
        ["presence", "train", "x", "--held-back", "y", "--weights", "z", "--out", "o", "--expansion", "0"],
        ["presence", "compare", "x", "--held-back", "y", "--weights", "z", "--expansion", "0", "1"],
        ["presence", "export", "x", "y", "--out", "o", "--width", "0"],
        ["identity", "x", "--strangers", "y", "--out", "z", "--seeds", "0"],
        ["restore", "x", "--strangers", "y", "--height", "0"],
        ["dataset", "from-clip", "x", "--out", "y", "--every-s", "-1"],
        ["dataset", "from-clip", "x", "--out", "y", "--sure", "1.5"],
        ["dataset", "label", "x", "--out", "y", "--sure", "-0.1"],
    ],
)
def test_numbers_out_of_range_are_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(argv)
    assert "must be" in capsys.readouterr().err


def test_ctrl_c_ends_any_command_without_a_traceback(
    labels: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "measure", interrupted)
    assert main(["dataset", "stats", labels]) == 130
    assert capsys.readouterr().err == "stopped\n"
