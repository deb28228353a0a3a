"""On a borrowed pyramid of maps: a branch and a dense layer for each level; the hottest cell is the picture's score."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from scripts.train.presence.borrowed import GREY, Borrowed, Eyes, Head

GAIN, EVEN = 2.0, -0.9  # of the detector's logit, which tells boxes apart: begin with a logit of presence


class Branch(nn.Sequential):
    """The detector's own last convolution and its score of a cell, to go on learning from."""

    def __init__(self, head: Head) -> None:
        channels = len(head.bias)
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(head.slope), nn.Conv2d(channels, 1, 1)
        )
        with torch.no_grad():
            for layer, weights, bias in (
                (self[0], head.weights, head.bias),
                (self[2], GAIN * head.score_weights, GAIN * (head.score_bias - EVEN)),
            ):
                layer.weight.copy_(torch.from_numpy(weights.transpose(0, 3, 1, 2).copy()))
                layer.bias.copy_(torch.from_numpy(np.array(bias, np.float32)))


class PyramidNet(nn.Module):
    """Pictures (N, 3, H, W) RGB 0-255, sides multiples of 32, to logits (N, 2) and maps (N, 2, H / 8, W / 8).

    A dense layer to one number, somebody less nobody, is applied to each cell of each level; a cell of the map is the
    greatest of its levels, and the picture's logit is the map's greatest cell (global max pooling, Oquab et al. 2015),
    for the mean over all cells drowns who is small. The map of nobody is 0.
    """

    mean = GREY  # taken off the pixels of exported files
    stride_px = 32  # sides of the input are multiples of it

    def __init__(self, file: bytes) -> None:
        """`file` is that of NanoDet-g in the zoo, float32; it is kept in checkpoints. Raises DatasetError."""
        super().__init__()
        self.trunk = Borrowed(file)
        self.register_buffer("file", torch.frombuffer(bytearray(file), dtype=torch.uint8))
        self.branches = nn.ModuleList(map(Branch, self.trunk.heads))
        self._eyes: dict[tuple[int, int], Eyes] = {}

    def lower(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """The frozen maps (N, channels, h, w), finest first."""
        height, width = pictures.shape[2:]
        if (height, width) not in self._eyes:
            self._eyes[height, width] = Eyes(self.trunk, width, height)
        see = self._eyes[height, width].see
        seen = [see(picture) for picture in pictures.permute(0, 2, 3, 1).numpy()]
        return tuple(torch.from_numpy(np.stack(level)).permute(0, 3, 1, 2) for level in zip(*seen, strict=True))

    def upper(self, levels: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Logits and maps of the frozen maps."""
        finest = levels[0].shape[2:]
        says = [branch(level) for branch, level in zip(self.branches, levels, strict=True)]
        somebody = torch.stack([functional.interpolate(each, size=finest) for each in says]).amax(0)
        maps = torch.cat([torch.zeros_like(somebody), somebody], 1)
        return maps.amax((2, 3)), maps

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Both from one pass."""
        return self.upper(self.lower(pictures))

    @torch.no_grad()
    def shift(self, logit: float) -> None:
        """Adds to the logit of somebody."""
        for branch in self.branches:
            branch[2].bias += logit
