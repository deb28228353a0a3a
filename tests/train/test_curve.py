"""Learning curves: what is kept when a run goes on, and several runs in one picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")

from scripts.train.cli import main
from scripts.train.curve import Curve
from scripts.train.validate import Precision


def write(folder: Path, *values: float) -> Path:
    folder.mkdir()
    curve = Curve(folder / "curve.csv", 0)
    for at, value in enumerate(values, start=1):
        curve.add(100 * at, {"face": Precision(value, (None, value, value, None))}, value)
    return folder


def test_validations_of_an_abandoned_try_go_and_patience_counts_from_the_best(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", 0.2, 0.4, 0.3, 0.9)
    curve = Curve(folder / "curve.csv", 300)
    assert curve.since_best == 1
    assert curve.last_step == 300
    assert curve.is_best(0.5)
    curve.add(400, {"face": Precision(0.5, (None, None, 0.5, None))}, 0.5)
    assert not curve.is_best(0.5)
    assert (folder / "curve.csv").read_text().splitlines()[-1] == "400,face,0.5000,,,0.5000,"


def test_several_runs_come_into_one_picture_each_with_its_best_validation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(write(tmp_path / name, *values)) for name, values in (("a", (0.1, 0.6, 0.5)), ("b", (0.3,)))]
    out = tmp_path / "curves.png"
    assert main(["curve", *runs, "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{runs[0]}: AP50 60.0 (- / 60.0 / 60.0 / -) at step 200, of 300"
    assert lines[1] == f"{runs[1]}: AP50 30.0 (- / 30.0 / 30.0 / -) at step 100, of 100"
    picture = cv2.imread(str(out))
    assert picture is not None
    colours = np.array([[180, 119, 31], [14, 127, 255]])  # BGR of the first two lines
    for colour in colours:
        assert (np.abs(picture.astype(int) - colour).max(axis=2) < 8).any()


def test_a_run_without_validations_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(write(tmp_path / "a", 0.5))
    assert main(["curve", run, "--class", "person", "--out", str(tmp_path / "x.png")]) == 1
    assert "holds no validations of person" in capsys.readouterr().err
    assert main(["curve", str(tmp_path), "--out", str(tmp_path / "x.png")]) == 1


@pytest.mark.parametrize(
    "content", [b"\xff\xd8\xff\xe0", b"", b"a,b\n1,2\n", b"step,class,AP50\n1,face,0.5\n", b"\x00" * 9, b"hello\n"]
)
def test_a_file_that_is_no_curve_is_named(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    assert main(["curve", str(tmp_path / "x.csv"), "--out", str(tmp_path / "x.png")]) == 1
    assert "x.csv: is no curve.csv of a run" in capsys.readouterr().err


def test_a_run_that_does_not_exist_is_named_and_the_picture_goes_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = str(write(tmp_path / "a", 0.5)), tmp_path / "no" / "folder" / "x.png"
    assert main(["curve", str(tmp_path / "nope"), "--out", str(out)]) == 1
    assert "nope: does not exist: name the folder of a run" in capsys.readouterr().err
    assert main(["curve", run, "--out", str(tmp_path / "x.doc")]) == 1
    assert "x.doc: is no name of a picture: end it in .png" in capsys.readouterr().err
    assert main(["curve", run, "--out", str(out)]) == 0
    assert out.is_file()
    assert main(["curve", run, "--out", str(out / "x.png")]) == 1
    assert "cannot be made a folder: it is a file" in capsys.readouterr().err
