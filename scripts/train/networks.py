"""The networks that can be trained, by name."""

from __future__ import annotations

from collections.abc import Mapping

from anonymizer.errors import DatasetError
from scripts.train.backbones import OWN, PublishedBackbone
from scripts.train.network import ARCHITECTURES, Detector
from scripts.train.pooled import PooledArchitecture, PooledDetector

Network = Detector | PooledDetector
POOLED: Mapping[str, PooledArchitecture] = {
    "pooled": PooledArchitecture(),
    "pooled-far": PooledArchitecture(strides_px=(4, 8, 16, 32)),
}
NAMES = (*sorted(ARCHITECTURES), *sorted(POOLED))


def make_network(name: str, classes: int, backbone: str = OWN) -> Network:
    """A fresh network of that name, with random weights from torch's own generator.

    Raises DatasetError for a network that takes no other backbone than its own.
    """
    if name in POOLED:
        if backbone != OWN:
            raise DatasetError(f"the network {name} has its own backbone: leave out {backbone}, or take small or far")
        return PooledDetector(POOLED[name], classes)
    return Detector(ARCHITECTURES[name], classes, None if backbone == OWN else PublishedBackbone(backbone))
