"""The networks that can be trained, by name."""

from __future__ import annotations

from collections.abc import Mapping

from scripts.train.network import ARCHITECTURES, Detector
from scripts.train.pooled import PooledArchitecture, PooledDetector

Network = Detector | PooledDetector
POOLED: Mapping[str, PooledArchitecture] = {
    "pooled": PooledArchitecture(),
    "pooled-far": PooledArchitecture(strides_px=(4, 8, 16, 32)),
}
NAMES = (*sorted(ARCHITECTURES), *sorted(POOLED))


def make_network(name: str, classes: int) -> Network:
    """A fresh network of that name, with random weights from torch's own generator."""
    if name in POOLED:
        return PooledDetector(POOLED[name], classes)
    return Detector(ARCHITECTURES[name], classes)
