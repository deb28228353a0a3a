"""A detector in the shape of libfacedetection's, so that it can begin with those weights, and with more to learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from scripts.train.network import RARE, Level, Same

WIDTHS = ((16, 16), (16, 16, 32), (32, 32, 64), (64, 64, 64), (64, 64, 64), (64, 64, 64))  # units of each stage
POOLED_BEFORE = (1, 3, 4, 5)  # stages whose input is halved
PYRAMID = 64
THEIR_FINEST_PX = 8  # stride of libfacedetection's finest level


@dataclass(frozen=True, slots=True)
class PooledArchitecture:
    """Which strides detect: from 4 or from 8 on."""

    strides_px: tuple[int, ...] = (8, 16, 32)


class Unit(nn.Sequential):
    """1x1, then 3x3 a channel, then ReLU or nothing."""

    def __init__(self, inputs: int, outputs: int, *, relu: bool = True) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 1),
            Same(outputs, outputs, kernel=3, groups=outputs),
            *([nn.ReLU(inplace=True)] if relu else []),
        )


class PooledHead(nn.Module):
    """What one level says by itself, and what a branch that all levels share adds to it, which begins with nothing."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.hints = Unit(PYRAMID, 2 * classes, relu=False)  # is it that class, is it an object: their mean counts
        self.weigh = nn.Conv2d(2 * classes, classes, 1)
        self.box = Unit(PYRAMID, 4, relu=False)
        nn.init.constant_(self.hints[1].bias, RARE)
        with torch.no_grad():
            self.weigh.weight.copy_(torch.eye(classes).repeat_interleave(2, 1)[:, :, None, None] / 2)
            self.weigh.bias.zero_()
            self.box[1].bias.copy_(torch.tensor([0.0, 0.0, 0.7, 0.9]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and encodings of a map (B, PYRAMID, h, w)."""
        return self.weigh(self.hints(x)), self.box(x)


class PooledDetector(nn.Module):
    """RGB pictures 0-255 (B, 3, H, W), H and W multiples of 32, to one Level for each stride."""

    def __init__(self, architecture: PooledArchitecture, classes: int) -> None:
        super().__init__()
        self.architecture = architecture
        count = len(architecture.strides_px)
        self.stem = Same(3, WIDTHS[0][0], kernel=3, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(*(Unit(before, after) for before, after in pairwise(widths))) for widths in WIDTHS
        )
        self.laterals = nn.ModuleList(Unit(PYRAMID, PYRAMID) for _ in range(count))
        self.heads = nn.ModuleList(PooledHead(classes) for _ in range(count))
        self.branch = Unit(PYRAMID, PYRAMID)
        self.score = nn.Conv2d(PYRAMID, classes, 1)
        self.box = nn.Conv2d(PYRAMID, 4, 1)
        for added in (self.score, self.box):
            nn.init.zeros_(added.weight)
            nn.init.zeros_(added.bias)

    def freeze(self, share: float) -> None:
        """Lets that share of the backbone, from its input on, learn nothing."""
        parts = [self.stem, *self.stages]
        for at, part in enumerate(parts):
            part.requires_grad_(not at < share * len(parts))

    def forward(self, pictures: Tensor) -> list[Level]:
        """The levels, finest first."""
        x = functional.relu(self.stem(pictures * (1 / 255)))
        maps = []
        for at, stage in enumerate(self.stages):
            x = stage(functional.max_pool2d(x, 2) if at in POOLED_BEFORE else x)
            maps.append(x)
        strides = self.architecture.strides_px
        above: Tensor | None = None
        levels = []
        for at in range(len(strides) - 1, -1, -1):
            x = maps[at - len(strides)]
            if above is not None:
                x = x + functional.interpolate(above, scale_factor=2.0, mode="nearest")
            above = self.laterals[at](x)
            logits, encodings = self.heads[at](above)
            more = self.branch(above)
            levels.append(Level(strides[at], logits + self.score(more), encodings + self.box(more)))
        return levels[::-1]


def adopt(network: PooledDetector, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Takes over libfacedetection's weights by their names there; one class only.

    A level of stride 4, which it has not, begins with what it has at stride 8, but shy. Its first convolution is
    centred and ours is not (TensorFlow's SAME): ours sees the picture one pixel further left, so boxes are moved back.
    """
    with torch.no_grad():
        stem = arrays["backbone__model0_pw_weight"].reshape(16, 32)[:, :27].reshape(16, 3, 3, 3)  # BGR, padded to 32
        network.stem.weight.copy_(torch.from_numpy(stem[..., ::-1].transpose(0, 3, 1, 2) * 255))
        network.stem.bias.copy_(torch.from_numpy(arrays["backbone__model0_pw_bias"].copy()))
        for stage, units in enumerate(network.stages):
            for at, unit in enumerate(units):
                _copy(arrays, f"backbone__model{stage}_dp{at + 1 if len(units) > 1 else ''}", unit)
        for level, stride in enumerate(network.architecture.strides_px):
            theirs = max(level - len(network.architecture.strides_px) + 3, 0)
            _copy(arrays, f"neck__lateral_convs__{theirs}", network.laterals[level])
            head = network.heads[level]
            names = [f"bbox_head__multi_level_{name}__{theirs}" for name in ("cls", "obj")]
            both = {
                f"both{part}": np.concatenate([arrays[f"{name}{part}"].reshape(rows, 1) for name in names], axis=1).T
                if part == "_pw_weight"
                else np.concatenate([arrays[f"{name}{part}"].reshape(rows, 1) for name in names], axis=1)
                for part, rows in (("_pw_weight", PYRAMID), ("_pw_bias", 1), ("_dw_weight", 9), ("_dw_bias", 1))
            }
            _copy({name: values.ravel() for name, values in both.items()}, "both", head.hints)
            _copy(arrays, f"bbox_head__multi_level_bbox__{theirs}", head.box)
            head.box[1].bias[:2] += 1 / stride - 0.5  # theirs counts from the cell's corner
            if stride < THEIR_FINEST_PX:
                head.hints[1].bias += RARE


def _copy(arrays: Mapping[str, NDArray[np.float32]], name: str, unit: Unit) -> None:
    pointwise, depthwise = unit[0], unit[1]
    outputs = pointwise.out_channels
    pointwise.weight.copy_(torch.from_numpy(arrays[f"{name}_pw_weight"].reshape(pointwise.weight.shape).copy()))
    pointwise.bias.copy_(torch.from_numpy(arrays[f"{name}_pw_bias"].copy()))
    planes = arrays[f"{name}_dw_weight"].reshape(9, outputs).T.reshape(outputs, 1, 3, 3)
    depthwise.weight.copy_(torch.from_numpy(planes.copy()))
    depthwise.bias.copy_(torch.from_numpy(arrays[f"{name}_dw_bias"].copy()))
