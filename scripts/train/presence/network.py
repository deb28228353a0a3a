"""MobileNetV2's lower part, global average pooling and one dense layer of two outputs, in PyTorch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from anonymizer.errors import DatasetError
from scripts.train.network import Same
from scripts.train.stored import load_stored

# expansion, channels, repeats, first stride: table 2 of "MobileNetV2: Inverted Residuals and Linear Bottlenecks"
_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as the weights were trained
CLASSES = ("nobody", "somebody")
SOMEBODY = CLASSES.index("somebody")


class ConvUnit(nn.Sequential):
    """Convolution, batch normalisation, ReLU6; `same` pads as TensorFlow does, else both sides alike."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        same: bool = False,
    ) -> None:
        super().__init__(
            Same(inputs, outputs, kernel=kernel, stride=stride, groups=groups, bias=bias)
            if same
            else nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(inplace=True),
        )


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow; added to the input where shapes allow."""

    def __init__(
        self, inputs: int, outputs: int, *, expansion: int, stride: int, kernel: int = 3, same: bool = False
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        units: list[nn.Module] = [ConvUnit(inputs, wide, kernel=1)] if expansion > 1 else []
        units.append(ConvUnit(wide, wide, kernel=kernel, stride=stride, groups=wide, same=same))
        self.conv = nn.Sequential(*units, nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        return x + self.conv(x) if self.adds else self.conv(x)


def trunk(units: int) -> nn.Sequential:
    """The first so many units of MobileNetV2, named as its published weights are; input 0-255."""
    made: list[nn.Module] = [ConvUnit(3, 32, kernel=3, stride=2, bias=True)]
    channels = 32
    for expansion, outputs, repeats, stride in _BLOCKS:
        for at in range(repeats):
            made.append(InvertedResidual(channels, outputs, expansion=expansion, stride=stride if at == 0 else 1))
            channels = outputs
    return nn.Sequential(*made[:units])


def load_imagenet(features: nn.Sequential, path: Path) -> None:
    """Published weights into a trunk; raises DatasetError if the file is of another network.

    The normalisation of the pictures is folded into the first convolution, so that the input is 0-255.
    """
    stored = load_stored(path, "file of MobileNetV2's weights")
    try:
        state = {key: stored[f"features.{key}"] for key in features.state_dict() if key != "0.0.bias"}
    except KeyError as error:
        raise DatasetError(f"{path}: is no file of MobileNetV2's weights: it has no {error}") from None
    mean, deviation = torch.tensor(_MEAN), torch.tensor(_DEVIATION)
    state["0.0.bias"] = -(state["0.0.weight"] * (mean / deviation)[None, :, None, None]).sum(dim=(1, 2, 3))
    state["0.0.weight"] = state["0.0.weight"] / (255 * deviation)[None, :, None, None]
    features.load_state_dict(state)


class Head(nn.Module):
    """Global average pooling and a dense layer, written so that it leaves the class activation maps behind.

    The mean over all cells of w * activation is w * the mean: the dense layer is applied to each cell first, which
    gives the maps, and the mean of a map is the class's logit.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dense = nn.Conv2d(channels, len(CLASSES), 1)

    def forward(self, activations: Tensor) -> tuple[Tensor, Tensor]:
        """(N, channels, h, w) -> logits (N, 2) and maps (N, 2, h, w)."""
        maps = self.dense(activations)
        return maps.mean(dim=(2, 3)), maps


class PresenceNet(nn.Module):
    """Pictures (N, 3, H, W) RGB 0-255 to logits (N, 2) and maps (N, 2, H / 16, W / 16)."""

    mean = 0.0  # taken off the pixels of exported files
    stride_px = 16  # sides of the input are multiples of it

    def __init__(self, units: int = 14) -> None:
        super().__init__()
        self.features = trunk(units)
        self.head = Head(self.features[-1].conv[-1].num_features)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Both from one pass."""
        return self.head(self.features(pictures))

    @torch.no_grad()
    def shift(self, logit: float) -> None:
        """Adds to the logit of somebody."""
        self.head.dense.bias[SOMEBODY] += logit
