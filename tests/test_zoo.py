"""The zoo: the manifest tells the truth about the committed files, and every mistake gets a clear answer."""

from __future__ import annotations

import hashlib
import shutil
import sysconfig
from pathlib import Path

import pytest
import yaml

from anonymizer.detect.letterbox import Fit
from anonymizer.errors import ModelError
from anonymizer.settings.schema import DetectSettings
from anonymizer.types import Target
from anonymizer.zoo import Dtype, FileSpec, Zoo, default_models_dir
from anonymizer.zoo import folder as zoo_folder
from tests.golden_boxes import golden

MODELS = Path(__file__).parent.parent / "models"
COMMITTED_LIMIT_BYTES = 34_000_000


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A models folder that a test may spoil."""
    folder = tmp_path / "models"
    shutil.copytree(MODELS, folder)
    return folder


def edit(folder: Path, **changes: object) -> None:
    path = folder / "manifest.yaml"
    content = yaml.safe_load(path.read_text())
    content["models"][0].update(changes)
    path.write_text(yaml.safe_dump(content))


def test_every_committed_file_is_what_the_manifest_says() -> None:
    committed = Zoo(MODELS)
    specs: list[FileSpec] = [committed.detectors.verify(name) for name in committed.detectors.names()]
    specs += map(committed.attentions.verify, committed.attentions.names())
    specs += map(committed.silhouettes.verify, committed.silhouettes.names())
    for spec in [*specs, *map(committed.embedders.verify, committed.embedders.names())]:
        data = spec.path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == spec.sha256
        assert len(data) == spec.size_bytes


def test_the_manifest_lists_exactly_the_committed_files() -> None:
    committed = Zoo(MODELS)
    specs: list[FileSpec] = [committed.detectors.spec(name) for name in committed.detectors.names()]
    specs += [committed.embedders.spec(name) for name in committed.embedders.names()]
    specs += [committed.attentions.spec(name) for name in committed.attentions.names()]
    specs += [committed.silhouettes.spec(name) for name in committed.silhouettes.names()]
    assert {spec.path for spec in specs} == set(MODELS.glob("*.tflite"))
    assert {spec.card for spec in specs} == set((MODELS / "cards").iterdir())
    assert {spec.licence_path for spec in specs} == set((MODELS / "licenses").iterdir())
    first = {spec.path: spec.name for spec in reversed(specs)}
    assert all(path.stem == name for path, name in first.items())


def test_every_model_has_golden_boxes_by_which_runtimes_are_compared() -> None:
    assert set(golden()) == set(Zoo(MODELS).detectors.names())


def test_the_committed_files_stay_small() -> None:
    assert sum(path.stat().st_size for path in MODELS.glob("*.tflite")) < COMMITTED_LIMIT_BYTES


def test_every_card_names_its_files_and_their_source_or_how_they_were_trained() -> None:
    committed = Zoo(MODELS)
    specs: list[FileSpec] = [
        *map(committed.detectors.spec, committed.detectors.names()),
        *map(committed.embedders.spec, committed.embedders.names()),
    ]
    specs += map(committed.silhouettes.spec, committed.silhouettes.names())
    for spec in [*specs, *map(committed.attentions.spec, committed.attentions.names())]:
        assert spec.card is not None
        card = spec.card.read_text()
        assert spec.path.name in card
        if spec.source is None:
            assert "scripts/train" in card
        else:
            assert spec.source.sha256[:8] in card
            assert spec.source.version in card
        assert spec.licence.partition("-")[0] in card


def test_silhouette_models_are_those_of_the_program(copied: Path) -> None:
    manifest = copied / "manifest.yaml"
    content = yaml.safe_load(manifest.read_text())
    content["silhouettes"] = []
    manifest.write_text(yaml.safe_dump(content))
    assert Zoo(copied).silhouettes.names() == Zoo().silhouettes.names() != ()


def test_the_default_settings_name_models_for_their_targets() -> None:
    committed, defaults = Zoo(MODELS), DetectSettings()
    assert committed.detectors.spec(defaults.face_model).target is Target.FACE
    assert committed.detectors.spec(defaults.person_model).target is Target.PERSON
    assert committed.attentions.spec(defaults.attention).name == defaults.attention


@pytest.mark.parametrize("name", ["centerface-int8", "nanodet-g-int8"])
def test_an_int8_model_has_a_float32_twin_with_the_same_input(name: str) -> None:
    committed = Zoo(MODELS)
    int8, float32 = committed.detectors.spec(name), committed.detectors.spec(name.replace("int8", "float32"))
    assert (int8.input.dtype, float32.input.dtype) == (Dtype.INT8, Dtype.FLOAT32)
    assert int8.input.model_copy(update={"dtype": Dtype.FLOAT32}) == float32.input
    assert int8.source == float32.source


def test_an_unknown_name_is_answered_with_the_nearest_ones() -> None:
    with pytest.raises(ModelError, match=r"no model 'centreface-int8' in .*; did you mean centerface-int8 or"):
        Zoo(MODELS).detectors.spec("centreface-int8")


def test_a_name_like_no_other_is_answered_with_all_of_them() -> None:
    committed = Zoo(MODELS)
    with pytest.raises(ModelError) as caught:
        committed.detectors.verify("zzz")
    assert all(name in str(caught.value) for name in committed.detectors.names())


def test_an_altered_file_is_refused(copied: Path) -> None:
    with (copied / "centerface-int8.tflite").open("r+b") as file:
        file.seek(1000)
        file.write(b"\x00\x01\x02")
    with pytest.raises(ModelError, match=r"centerface-int8\.tflite is not the file .*: restore it from the release"):
        Zoo(copied).detectors.verify("centerface-int8")


def test_an_embedder_is_checked_like_a_detector(copied: Path) -> None:
    (copied / "dlib-resnet-int8.tflite").write_bytes(b"TFL3")
    with pytest.raises(ModelError, match=r"dlib-resnet-int8\.tflite is not the file"):
        Zoo(copied).embedders.verify("dlib-resnet-int8")
    with pytest.raises(ModelError, match=r"no model 'dlib' .* did you mean dlib-resnet-int8"):
        Zoo(copied).embedders.spec("dlib")


def test_a_folder_of_the_users_own_has_the_embedders_of_the_program_too(tmp_path: Path) -> None:
    (tmp_path / "manifest.yaml").write_text("models: []")
    assert Zoo(tmp_path).embedders.names() == Zoo(MODELS).embedders.names()


def test_a_missing_file_is_refused(copied: Path) -> None:
    (copied / "centerface-int8.tflite").unlink()
    with pytest.raises(ModelError, match=r"cannot read .*centerface-int8\.tflite \(No such file or directory\)"):
        Zoo(copied).detectors.verify("centerface-int8")


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"cannot read .*manifest\.yaml .*: name a folder of models, by detect\.models_dir"
    ):
        Zoo(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "abc"}, r"models\.0\.sha256: String should match"),  # not a checksum
        ({"bytes": 0}, r"models\.0\.bytes: Input should be greater than 0"),  # an empty file
        (
            {"classes": ["face", "dog"]},
            r"models\.0\.classes\.1: .*'dog', must be one of person, face",
        ),  # no such target
        ({"classes": []}, r"models\.0\.classes: "),  # looks for nothing
        ({"file": "../other.tflite"}, r"models\.0\.file: .*must lie inside the models folder"),  # climbs out
        ({"card": "/etc/passwd"}, r"models\.0\.card: .*must lie inside the models folder"),  # somewhere else
        ({"colour": "rgb"}, r"models\.0\.colour: Extra inputs are not permitted"),  # a key that nobody reads
        ({"name": "centerface-int8"}, r"models: .*two models have the same name"),  # a name twice
    ],
)
def test_a_wrong_manifest_is_refused_with_the_place(copied: Path, changes: dict[str, object], message: str) -> None:
    edit(copied, **changes)
    with pytest.raises(ModelError, match=message):
        Zoo(copied)


def test_a_manifest_that_is_no_yaml_is_refused(copied: Path) -> None:
    (copied / "manifest.yaml").write_text("models: [")
    with pytest.raises(ModelError, match=r"manifest\.yaml is not YAML"):
        Zoo(copied)


def test_a_manifest_that_is_no_text_is_refused(copied: Path) -> None:
    (copied / "manifest.yaml").write_bytes(b"models: []  # caf\xe9")
    with pytest.raises(ModelError, match=r"manifest\.yaml is not UTF-8 text: save it as UTF-8"):
        Zoo(copied)


def test_paths_lie_in_the_folder_that_was_given(copied: Path) -> None:
    spec = Zoo(copied).detectors.spec("centerface-int8")
    assert spec.path == copied / "centerface-int8.tflite"
    assert spec.input.fit is Fit.LETTERBOX


def test_a_checkout_uses_its_own_models() -> None:
    assert default_models_dir() == MODELS
    assert Zoo().models_dir == MODELS


def test_an_installed_package_uses_the_models_that_pip_put_beside_it(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "venv/share/anonymizer/models"
    installed.parent.mkdir(parents=True)
    copied.rename(installed)
    monkeypatch.setattr(zoo_folder, "__file__", str(tmp_path / "venv/lib/site-packages/anonymizer/zoo/folder.py"))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "venv") if name == "data" else name)
    assert Zoo().models_dir == installed


def test_an_installation_without_models_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_folder, "__file__", str(tmp_path / "anonymizer/zoo/folder.py"))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / name))
    with pytest.raises(ModelError, match=r"no manifest\.yaml in .*data/share/anonymizer/models: install the package"):
        Zoo()


def test_an_attention_model_looks_at_the_stretched_frame(copied: Path) -> None:
    path = copied / "manifest.yaml"
    content = yaml.safe_load(path.read_text())
    content["attention"][0]["input"]["fit"] = "letterbox"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ModelError, match="its fit must be stretch"):
        Zoo(copied)


def test_attention_models_are_those_of_the_program(copied: Path) -> None:
    path = copied / "manifest.yaml"
    content = yaml.safe_load(path.read_text())
    content["attention"] = []
    path.write_text(yaml.safe_dump(content))
    assert Zoo(copied).attentions.names() == Zoo().attentions.names() != ()
