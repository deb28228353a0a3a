"""A damaged or hostile model file is refused in plain words, whatever it does to the process that tries it."""

from __future__ import annotations

import hashlib
import re
import signal
import sys
from pathlib import Path

import pytest
import yaml

from anonymizer import quarantine as quarantine_module
from anonymizer.cli import main
from anonymizer.clock import FakeClock
from anonymizer.detect.delegates import Delegate
from anonymizer.detectors import detector_model, make_detector
from anonymizer.errors import ModelError
from anonymizer.models import PORTRAITS
from anonymizer.quarantine import Allowance, Quarantine
from anonymizer.settings.schema import DetectSettings, TargetName
from anonymizer.types import Target
from anonymizer.zoo import MANIFEST, Zoo, add_model
from tests.fakes import RecordingMeter
from tests.mutations import KINDS, variant

SMALL = "blazeface-full-range"
VARIANTS = 510  # 30 of each kind
ALLOWANCE = Allowance(wall_s=60.0, cpu_s=2, memory_bytes=1 << 28)
FACE_TESTS = [test for test in PORTRAITS if test.target is Target.FACE][:1]


def child(monkeypatch: pytest.MonkeyPatch, code: str, *, ready: bool = True) -> None:
    """Replace the process that files are tried in."""
    lines = (["print('ready', flush=True)", "import sys; sys.stdin.readline()"] if ready else []) + [code]
    monkeypatch.setattr(quarantine_module, "_COMMAND", (sys.executable, "-c", "\n".join(lines)))


def refusal(allowance: Allowance = ALLOWANCE) -> str:
    with Quarantine() as quarantine, pytest.raises(ModelError) as caught:
        quarantine.recognise(Path("door.tflite"), PORTRAITS, allowance=allowance)
    return str(caught.value)


# --- what files do ----------------------------------------------------------------------------------------------


@pytest.mark.e2e
def test_no_variant_of_a_model_ends_the_one_who_asks(tmp_path: Path) -> None:
    """Each is read as a model or refused with its name; what is read is loaded as the daemon would."""
    original = Zoo().detectors.spec(SMALL)
    data, path = original.path.read_bytes(), tmp_path / "door.tflite"
    refusals: list[str] = []
    with Quarantine() as quarantine:
        for seed in range(VARIANTS):
            path.write_bytes(variant(data, KINDS[seed % len(KINDS)], seed))
            own = detector_model(original.model_copy(update={"path": path, "self_test": None}))
            try:
                if seed % 6 == 0:  # recognising tries it fifty times
                    quarantine.recognise(path, FACE_TESTS, target=Target.FACE, allowance=ALLOWANCE)
                quarantine.load(own, threads=1, delegate=Delegate(), allowance=ALLOWANCE)
            except ModelError as error:
                refusals.append(str(error))
    assert [text for text in refusals if str(path) not in text and "model blazeface" not in text] == []
    assert VARIANTS / 2 < len(refusals) < VARIANTS  # some damage does no harm, so the tries went deep


@pytest.mark.parametrize(
    ("code", "allowance", "why"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", ALLOWANCE, r"down \(signal SIGSEGV\)"),
        ("import os; os._exit(3)", ALLOWANCE, r"down \(exit status 3\)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", ALLOWANCE, "took more than 2 s of processor time"),
        ("import signal; signal.pause()", Allowance(0.1, 2), "did not come to an end within 0.1 s"),
        ("print('{}{}'); sys.stdout.flush(); sys.stdin.read()", ALLOWANCE, "made the model runtime answer nonsense"),
        ("import os, signal; os.close(1); signal.pause()", ALLOWANCE, "made the model runtime hang"),
    ],
)
def test_a_file_that_brings_the_child_down_is_refused_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, code: str, allowance: Allowance, why: str
) -> None:
    child(monkeypatch, code)
    monkeypatch.setattr(quarantine_module, "_END_S", 0.2 if "close" in code else 10.0)
    told = refusal(allowance)
    assert "door.tflite" in told
    assert "it is damaged or made to do harm; get it again from a source you trust" in told
    assert re.search(why, told)


@pytest.mark.parametrize("code", ["print('no')", "pass"])
def test_a_child_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    child(monkeypatch, code, ready=False)
    with pytest.raises(ModelError, match="cannot start the process that model files are tried in: it"):
        Quarantine().start()


def test_a_file_that_needs_more_memory_than_it_may_have_is_refused() -> None:
    model = detector_model(Zoo().detectors.spec("nanodet-g-float32"))
    with Quarantine() as quarantine:
        with pytest.raises(ModelError):
            quarantine.load(model, threads=1, delegate=Delegate(), allowance=Allowance(60.0, 60, memory_bytes=1 << 20))
        quarantine.load(model, threads=1, delegate=Delegate())  # the next one is not affected


# --- who asks ---------------------------------------------------------------------------------------------------


def stranger(folder: Path, **changes: object) -> DetectSettings:
    """Settings with a face model that did not come with the program."""
    entries = yaml.safe_load((Zoo().models_dir / MANIFEST).read_text())["models"]
    entry = next(entry for entry in entries if entry["name"] == SMALL)
    for key in ("source", "card", "licence_file"):
        del entry[key]
    data = Zoo().detectors.spec(SMALL).path.read_bytes() + b"\0"
    file = folder / "other.tflite"
    file.write_bytes(data)
    entry |= {"name": "door", "file": "door.tflite", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    add_model(folder / "mine", entry | changes, file)
    return DetectSettings(models_dir=folder / "mine", face_model="door")


def detector(settings: DetectSettings) -> object:
    return make_detector(settings, frozenset({TargetName.FACE}), clock=FakeClock(), meter=RecordingMeter())


def test_the_daemon_tries_a_stranger_in_a_child_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = stranger(tmp_path)
    detector(settings)
    child(monkeypatch, f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})")
    with pytest.raises(ModelError, match=r"door\.tflite brought the model runtime down \(signal SIGSEGV\)"):
        detector(settings)


def test_what_came_with_the_program_needs_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, "import os; os._exit(1)", ready=False)
    detector(DetectSettings(face_model=SMALL))


def test_a_file_that_kills_the_runtime_is_not_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "door.tflite"
    file.write_bytes(b"\x1c\0\0\0TFL3")
    child(monkeypatch, "import os; os.abort()")
    assert main(["models", "add", str(file), "--models-dir", str(tmp_path / "mine")]) == 1
    assert "brought the model runtime down (signal SIGABRT)" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()
