"""A run of `fit` ends, is stopped, goes on and begins with another one's weights, and says so."""

# ruff: noqa: E402 - the imports need torch

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

torch = pytest.importorskip("torch", reason="needs the extra: pip install -e '.[train]'")

from anonymizer.errors import DatasetError
from anonymizer.zoo import default_models_dir
from scripts.train.checkpoint import BEST, CHECKPOINT, load_checkpoint
from scripts.train.cli import main
from scripts.train.datasets.store import write_whole
from scripts.train.recipe import Recipe
from scripts.train.slim.fit import SlimRun
from scripts.train.slim.fit import run as run_slim
from scripts.train.slim.lesson import Losses
from scripts.train.slim.recipe import SlimRecipe
from scripts.train.stop import INTERRUPTED, StopRequest
from tests.train import shapes
from tests.train.conftest import fit
from tests.train.test_learning import ROOT


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return shapes.write(tmp_path / "set", 6, seed=4)


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Path:
    """Two steps of the tiny network."""
    assert main(fit(data, tmp_path / "run", "--steps", "2", "--workers", "0")) == 0
    return tmp_path / "run"


def test_a_finished_run_says_that_it_is_finished(data: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(fit(data, run, "--steps", "2")) == 0
    assert f"{run} is finished: it has done 2 steps" in capsys.readouterr().out
    assert main(fit(data, run, "--steps", "3", "--workers", "0")) == 0
    assert load_checkpoint(run / CHECKPOINT)["step"] == 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--batch", "8"), "holds a run with batch 4, not 8: go on with that"),
        (("--seed", "5"), "holds a run with seed 1, not 5"),
        (("--rate", "1e-4"), "holds a run with rate 0.003, not 0.0001"),
    ],
)
def test_a_run_goes_on_with_its_own_batch_seed_and_rate_only(
    more: tuple[str, str], message: str, data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(fit(data, run, "--steps", "3", *more)) == 1
    assert message in capsys.readouterr().err


def test_a_run_begins_with_the_weights_of_another_ones_folder_and_says_which_it_cannot_take(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = ("--steps", "1", "--workers", "0", "--start-from", str(run))
    assert main(fit(data, tmp_path / "same", *begun)) == 0
    assert "tensors" not in capsys.readouterr().out
    first, second = (load_checkpoint(each / CHECKPOINT)["network"] for each in (run, tmp_path / "same"))
    name = next(name for name, value in first.items() if value.ndim == 4)
    assert (first[name] - second[name]).abs().max() < 0.01  # one small step from there
    assert main([*fit(data, tmp_path / "wider", *begun), "--network", "small"]) == 0
    assert " tensors taken over, those of other names or shapes are new" in capsys.readouterr().out


def test_a_run_that_patience_ends_leaves_its_checkpoint(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--steps", "40", "--workers", "0", "--validation", str(data), "--validation-limit", "1")
    argv = fit(data, tmp_path / "run", *more, "--validate-every", "1", "--validation-px", "64", "--patience", "1")
    assert main(argv) == 0
    assert "stopped: 1 validations without gain" in capsys.readouterr().out
    step = load_checkpoint(tmp_path / "run" / CHECKPOINT)["step"]
    assert step < 40
    assert main(argv) == 0
    assert "is finished: it had 1 validations without gain" in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "run" / CHECKPOINT)["step"] == step


def test_ctrl_c_in_fit_saves_and_the_same_command_goes_on(data: Path, tmp_path: Path) -> None:
    more = fit(data, tmp_path / "run", "--steps", "100000", "--save-every", "100000", "--batch", "1")
    command = [sys.executable, "-u", "-m", "scripts.train", *more]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert "50/100000" in process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the process that makes canvases gets it too
        out, err = process.communicate()
    step = load_checkpoint(tmp_path / "run" / CHECKPOINT)["step"]
    assert out.splitlines()[-1] == f"stopped at step {step}; the same command goes on"
    assert step >= 50
    assert "Traceback" not in err
    assert process.returncode == 130


@pytest.fixture
def foreground() -> Iterator[None]:
    """As in a terminal: a shell starts what it puts into the background with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("foreground")
def test_the_first_ctrl_c_is_a_wish_and_the_second_one_ends_at_once() -> None:
    with StopRequest() as stop:
        assert not stop.is_made
        signal.raise_signal(signal.SIGINT)
        assert stop.is_made
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_in_slim_fit_saves_too(tmp_path: Path) -> None:
    class Stopped(SlimRun):
        def __init__(self) -> None:
            self.recipe, self.step, self.saved_at = SlimRecipe("", steps=9), 0, 0

        def learn(self) -> Losses:
            self.step += 1
            signal.raise_signal(signal.SIGINT)
            return Losses(*[torch.zeros(())] * 3)

        def save(self) -> None:
            self.saved_at = self.step

    said: list[str] = []
    own = Stopped()
    assert run_slim(own, save_every=5, say=said.append)
    assert own.saved_at == 1
    assert said == ["stopped at step 1; the same command goes on"]


def test_a_blend_goes_into_a_folder_that_is_not_there_yet(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "no" / "folder" / "x.pt"
    assert main(["blend", str(run), str(run), "--out", str(out)]) == 0
    assert load_checkpoint(out)["step"] == 2
    assert main(["blend", str(run), str(run), "--out", str(out / "y.pt")]) == 1
    assert "cannot be made a folder: it is a file" in capsys.readouterr().err


@pytest.mark.parametrize("save_every", ["1", "50"])  # weights are found out when they are saved, losses at each step
def test_a_run_whose_losses_are_no_numbers_ends_and_keeps_what_was_saved(
    save_every: str, data: Path, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Recipe, "rate_at", lambda *_: 1e6)
    assert main(fit(data, run, "--steps", "30", "--save-every", save_every, "--workers", "0")) == 1
    assert "are no numbers any more; what was saved before is kept" in capsys.readouterr().err
    saved = load_checkpoint(run / CHECKPOINT)
    assert saved["step"] < 30
    assert all(value.isfinite().all() for value in (*saved["network"].values(), *saved["average"].values()))


def test_a_full_disk_leaves_the_old_checkpoint_and_half_of_none(
    data: Path, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def save(_: object, file: BinaryIO) -> None:
        file.write(b"half")
        raise RuntimeError("unexpected pos 347008 vs 346896")  # all that PyTorch says of it

    monkeypatch.setattr(torch, "save", save)
    assert main(fit(data, run, "--steps", "3", "--workers", "0")) == 1
    assert "checkpoint.pt: cannot be written: the disk may be full" in capsys.readouterr().err
    assert load_checkpoint(run / CHECKPOINT)["step"] == 2
    assert not list(run.glob("*.part"))


def test_a_validation_that_a_kill_prevented_is_made_when_the_run_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    command = fit(data, tmp_path / "run", "--steps", "2", "--workers", "0", "--validation", str(data))
    with monkeypatch.context() as patched:
        patched.setattr("scripts.train.fit.validate", killed)
        assert main(command) == INTERRUPTED
    assert not (tmp_path / "run" / BEST).exists()
    assert main(command) == 0
    assert load_checkpoint(tmp_path / "run" / BEST)["step"] == 2
    rows = (tmp_path / "run" / "curve.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "2"]
    assert main(command) == 0
    assert len((tmp_path / "run" / "curve.csv").read_text(encoding="utf-8").splitlines()) == 2


def test_slim_fit_refuses_the_folder_of_another_command_and_a_file_partly_in_int8(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for model, message in (
        ("centerface-float32", "checkpoint.pt is no checkpoint of `slim fit`: name another folder by --run"),
        (
            "nanodet-g-int8",
            "nanodet-g-int8.tflite: computes partly in whole numbers, or in others than int8: name the file in float32",
        ),
    ):
        file = default_models_dir() / f"{model}.tflite"
        assert main(["slim", "fit", str(file), str(data), "--run", str(run), "--canvas-px", "64"]) == 1
        assert message in capsys.readouterr().err


def test_commands_that_meet_a_checkpoint_of_another_command_say_so(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {"average": {}, "recipe": {"file": "x", "keep": 0.5}}
    torch.save(other, tmp_path / "other.pt")
    assert main(["blend", "libfacedetection", str(tmp_path / "other.pt"), "--out", str(tmp_path / "x.pt")]) == 1
    assert "is of another command than `fit`" in capsys.readouterr().err
    assert main(["presence", "export", str(run / CHECKPOINT), str(data), "--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("checkpoint.pt: is no checkpoint of a presence classifier: it holds other tensors")


@pytest.mark.filterwarnings("ignore::UserWarning")  # the quantizer keeps all tensors
def test_an_export_says_of_which_step_it_is_and_that_a_network_that_finds_nothing_was_not_compared(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", str(run), str(data), "--out", str(tmp_path / "out"), "--width", "64", "--height", "64"]
    assert main([*command, "--name", "mine"]) == 0
    said = capsys.readouterr().out
    assert f"{run / CHECKPOINT}: step 2" in said
    assert "not compared, for no cell of 16 canvases scores 0.3" in said
    for name in ("a/b", "", ".."):
        assert main([*command, "--name", name]) == 1
        assert "is no name of a model" in capsys.readouterr().err


def test_a_full_disk_leaves_no_half_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, _: bytes) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "model.tflite").write_bytes(b"old")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DatasetError, match=r"model\.tflite: cannot be written: No space left"):
        write_whole(tmp_path / "model.tflite", b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["model.tflite"]
    assert (tmp_path / "model.tflite").read_bytes() == b"old"


def test_pictures_that_are_learned_from_and_measured_by_are_counted(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = tmp_path / "copies"
    assert main(["dataset", "convert", str(data), "--out", str(copies)]) == 0
    others = shapes.write(tmp_path / "others", 3, seed=9)
    command = fit(data, tmp_path / "run", "--steps", "1", "--workers", "0", "--validation")
    assert main([*command, str(copies / "annotations.json"), str(others)]) == 0
    assert "6 of the pictures to measure by are learned from too" in capsys.readouterr().out
    assert main([*command, str(others)]) == 0
    assert "learned from too" not in capsys.readouterr().out
