"""The one-stage detector: a light backbone, a top-down pyramid, and class and box branches shared by all levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

RARE = -4.0  # first bias of the score: a face is rare, so that a fresh network does not drown in false alarms


@dataclass(frozen=True, slots=True)
class Architecture:
    """Widths and depths; `strides_px` are the levels that detect, each twice the one before."""

    strides_px: tuple[int, ...] = (8, 16, 32)
    stem: int = 8  # channels at half the picture's size
    widths: tuple[int, ...] = (32, 64, 96, 128)  # channels at strides 4, 8, 16, 32
    depths: tuple[int, ...] = (1, 3, 3, 2)  # units at each, beside the one that halves
    pyramid: int = 64


ARCHITECTURES = {
    "tiny": Architecture(stem=8, widths=(16, 32, 48, 64), depths=(0, 1, 1, 1), pyramid=32),
    "small": Architecture(),
    "far": Architecture(strides_px=(4, 8, 16, 32)),
}


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """What one level of the pyramid says; B pictures, a grid of h x w cells of `stride_px`."""

    stride_px: int
    logits: Tensor  # (B, classes, h, w), before the sigmoid
    encodings: Tensor  # (B, 4, h, w): centre minus cell centre in strides, x and y; log of width and height in strides


class Separable(nn.Sequential):
    """3x3 a channel, then 1x1, batch norm, ReLU: a convolution at an eighth of its cost."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__(
            Same(inputs, inputs, kernel=3, stride=stride, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs, momentum=0.03, eps=1e-3),
            nn.ReLU(inplace=True),
        )


class Same(nn.Conv2d):
    """A convolution that pads as TensorFlow's SAME does on even sizes: a stride of 2 at the right and bottom only."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1, bias: bool = True
    ) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=bias)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """The convolved map; height and width must be even for a stride of 2."""
        if self.stride[0] == 2:
            before = (self.kernel_size[0] - 2) // 2
            input = functional.pad(input, (before, before + 1) * 2)  # noqa: A001
        return super().forward(input)


class Backbone(nn.Module):
    """Our own: a stem, then stages of separable convolutions; returns the map of each stage, strides 4 to 32."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.widths = architecture.widths
        self.stem = nn.Sequential(
            Same(3, architecture.stem, kernel=3, stride=2, bias=False),
            nn.BatchNorm2d(architecture.stem, momentum=0.03, eps=1e-3),
            nn.ReLU(inplace=True),
        )
        widths = (architecture.stem, *architecture.widths)
        self.stages = nn.ModuleList(
            nn.Sequential(
                Separable(before, width, stride=2),
                *(Separable(width, width) for _ in range(depth)),
            )
            for before, width, depth in zip(widths, architecture.widths, architecture.depths, strict=False)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps of strides 4, 8, 16, 32 of a picture (B, 3, H, W)."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Head(nn.Module):
    """Scores and boxes of one map; all levels share it (Lin et al. 2017, 1708.02002), with a separate branch each."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.class_branch = Separable(width, width)
        self.box_branch = Separable(width, width)
        self.score = nn.Conv2d(width, classes, 1)
        self.box = nn.Conv2d(width, 4, 1)
        nn.init.constant_(self.score.bias, RARE)
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.normal_(self.box.weight, std=0.01)
        with torch.no_grad():
            self.box.bias.copy_(torch.tensor([0.0, 0.0, 0.7, 0.9]))  # two strides wide, a face's aspect

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and encodings of a map (B, width, h, w)."""
        return self.score(self.class_branch(x)), self.box(self.box_branch(x))


class Detector(nn.Module):
    """RGB pictures 0-255 (B, 3, H, W), H and W multiples of 32, to one Level for each stride."""

    def __init__(self, architecture: Architecture, classes: int, backbone: Backbone | None = None) -> None:
        super().__init__()
        self.architecture = architecture
        self.backbone = Backbone(architecture) if backbone is None else backbone
        widths = self.backbone.widths[-len(architecture.strides_px) :]
        self.laterals = nn.ModuleList(nn.Conv2d(width, architecture.pyramid, 1) for width in widths)
        self.smooth = nn.ModuleList(Separable(architecture.pyramid, architecture.pyramid) for _ in widths)
        self.head = Head(architecture.pyramid, classes)

    def freeze(self, share: float) -> None:
        """Lets that share of the backbone, from its input on, learn nothing; call after `train()`."""
        parts = [self.backbone.stem, *self.backbone.stages]
        for at, part in enumerate(parts):
            is_frozen = at < share * len(parts)
            part.requires_grad_(not is_frozen)
            if is_frozen:
                part.eval()

    def forward(self, pictures: Tensor) -> list[Level]:
        """The levels, finest first."""
        maps = self.backbone(pictures * (1 / 255))
        above: Tensor | None = None
        levels = []
        strides = self.architecture.strides_px
        for at in range(len(strides) - 1, -1, -1):
            x = self.laterals[at](maps[at - len(strides)])
            if above is not None:
                x = x + functional.interpolate(above, scale_factor=2.0, mode="nearest")
            above = self.smooth[at](x)
            levels.append(Level(strides[at], *self.head(above)))
        return levels[::-1]


def flat(levels: Sequence[Level]) -> tuple[Tensor, Tensor]:
    """Logits (B, N, classes) and encodings (B, N, 4) of all cells, level by level, row by row."""
    logits = [level.logits.flatten(2).transpose(1, 2) for level in levels]
    encodings = [level.encodings.flatten(2).transpose(1, 2) for level in levels]
    return torch.cat(logits, 1), torch.cat(encodings, 1)


def cells(levels: Sequence[Level]) -> Tensor:
    """Centre x, centre y and stride of all cells in pixels (N, 3), in the order of `flat`."""
    rows = []
    for level in levels:
        height, width = level.logits.shape[2:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        grid = torch.stack([x + 0.5, y + 0.5, torch.ones_like(x)], -1).reshape(-1, 3)
        rows.append(grid.to(level.logits) * level.stride_px)
    return torch.cat(rows)


def boxes(encodings: Tensor, of_cells: Tensor) -> Tensor:
    """Boxes x1 y1 x2 y2 in pixels from encodings (..., 4) and their cells (..., 3)."""
    centres = of_cells[..., :2] + encodings[..., :2] * of_cells[..., 2:]
    halves = of_cells[..., 2:] * encodings[..., 2:].clamp(max=6.0).exp() / 2
    return torch.cat([centres - halves, centres + halves], -1)
