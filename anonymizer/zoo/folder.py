"""Folders of models: where the program's own is, how a manifest is read, how a model is added to one."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from anonymizer.errors import ModelError
from anonymizer.zoo.manifest import MANIFEST, Manifest, parse


def default_models_dir() -> Path:
    """The models of the source checkout, or else those that pip installed; raises ModelError if there are neither."""
    places = (Path(__file__).parents[2] / "models", Path(sysconfig.get_path("data"), "share/anonymizer/models"))
    for place in places:
        if (place / MANIFEST).is_file():
            return place
    looked = " and ".join(str(place) for place in places)
    raise ModelError(f"no {MANIFEST} in {looked}: install the package again, or set detect.models_dir")


def read_manifest(models_dir: Path) -> Manifest:
    """The manifest of a folder; raises ModelError if it is missing or wrong."""
    path = models_dir / MANIFEST
    return parse(path, _content(path))


def add_model(models_dir: Path, entry: Mapping[str, object], file: Path) -> None:
    """Copy a model file into a folder of the user's and add its entry to the manifest there, made if it is missing.

    Raises ModelError if the entry is wrong, its name is taken, or the folder is the program's own or cannot be written.
    """
    path = models_dir / MANIFEST
    if models_dir.resolve() == default_models_dir().resolve():
        raise ModelError(f"{models_dir} belongs to the program and is replaced with it: choose another --models-dir")
    content = _content(path) if os.access(path, os.F_OK) else {"models": []}
    taken = {spec.name for spec in (*parse(path, content).models, *read_manifest(default_models_dir()).models)}
    if entry["name"] in taken:
        raise ModelError(f"there is a model {entry['name']!r} already: choose another --name")
    new = {**content, "models": [*content["models"], dict(entry)]}
    (*_, spec) = parse(path, new).models
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        _write(spec.path, file.read_bytes())
        _write(path, yaml.safe_dump(new, sort_keys=False, width=120).encode())
    except OSError as error:
        raise ModelError(f"{models_dir} cannot be written ({error.strerror}): choose another --models-dir") from error


def _write(path: Path, data: bytes) -> None:
    """Replace a file as a whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _content(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        remedy = "name a folder of models, by detect.models_dir or --models-dir"
        raise ModelError(f"cannot read {path} ({error.strerror}): {remedy}") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is not UTF-8 text: save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise ModelError(f"{path} is not YAML: {error}") from error
