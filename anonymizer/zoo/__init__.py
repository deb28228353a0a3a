"""The models that can be used, by name, each checked against its manifest before it is loaded."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

from anonymizer.errors import ModelError
from anonymizer.zoo.folder import add_model, default_models_dir, read_manifest
from anonymizer.zoo.manifest import (
    MANIFEST,
    OTHER,
    PICTURES,
    AttentionSpec,
    ChannelOrder,
    Dtype,
    EmbedderSpec,
    FileSpec,
    ModelSpec,
    SilhouetteSpec,
)

__all__ = [
    "MANIFEST",
    "OTHER",
    "PICTURES",
    "AttentionSpec",
    "ChannelOrder",
    "Dtype",
    "EmbedderSpec",
    "FileSpec",
    "ModelSpec",
    "Shelf",
    "SilhouetteSpec",
    "Zoo",
    "add_model",
    "default_models_dir",
]

SpecT = TypeVar("SpecT", bound=FileSpec)


class Shelf(Generic[SpecT]):
    """The models of one kind."""

    def __init__(self, models_dir: Path, specs: Iterable[SpecT]) -> None:
        """Of two models with the same name the first counts."""
        self._models_dir = models_dir
        self._specs: dict[str, SpecT] = {}
        for spec in specs:
            self._specs.setdefault(spec.name, spec)

    def names(self) -> tuple[str, ...]:
        """The names of all models, in the manifest's order."""
        return tuple(self._specs)

    def spec(self, name: str) -> SpecT:
        """The model of that name; raises ModelError if there is none, naming the nearest ones."""
        try:
            return self._specs[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._specs, n=3, cutoff=0.4) or self._specs
            raise ModelError(f"no model {name!r} in {self._models_dir}; did you mean {' or '.join(near)}?") from None

    def verify(self, name: str) -> SpecT:
        """The model of that name, after comparing its file with the manifest's sha256.

        Raises ModelError if the name is unknown, or the file missing, unreadable or altered.
        """
        spec = self.spec(name)
        remedy = "restore it from the release, or install the package again"
        if spec.source is None and spec.path.parent.resolve() != default_models_dir().resolve():  # somebody's own
            remedy = "copy the file there again that was added; another one needs another name: anonymizer models add"
        if spec.url is not None:
            remedy = f"run anonymizer models fetch {name} --models-dir {self._models_dir}"
        try:
            digest = hashlib.sha256(spec.path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"model {name}: cannot read {spec.path} ({error.strerror}): {remedy}") from error
        if digest != spec.sha256:
            raise ModelError(f"model {name}: {spec.path} is not the file that {MANIFEST} lists: {remedy}")
        return spec


class Zoo:
    """The models of one folder, and those that came with the program where the folder has none of that name.

    Attention and silhouette models always come from the program: they run beside the detectors and are not tried in a
    child process first.
    """

    def __init__(self, models_dir: Path | None = None) -> None:
        """Reads the manifests; raises ModelError if one is missing or wrong. None: the program's own models alone."""
        self.models_dir = default_models_dir() if models_dir is None else models_dir
        own = read_manifest(self.models_dir)
        shipped = own if models_dir is None else read_manifest(default_models_dir())
        self._shipped = frozenset(spec.sha256 for spec in shipped.models)
        self.detectors = Shelf(self.models_dir, (*own.models, *shipped.models))
        self.embedders = Shelf(self.models_dir, (*own.embedders, *shipped.embedders))
        self.attentions = Shelf(self.models_dir, shipped.attention)
        self.silhouettes = Shelf(self.models_dir, shipped.silhouettes)

    def is_shipped(self, name: str) -> bool:
        """Whether a detector's file came with the program, where it was tried; raises ModelError for unknown names."""
        return self.detectors.spec(name).sha256 in self._shipped
