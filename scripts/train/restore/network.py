"""A small convolutional network from a masked face to the embedding of the clear one, and how it learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from anonymizer.types import F32, U8

SIDE_PX = 32  # to which chips are scaled
SIZE = 128  # of an embedding
TELLING_APART = 0.2  # weight of the loss that wants each face nearest to its own embedding in the batch
CLOSENESS = 4.0  # of that loss: logits for each unit of distance


@dataclass(frozen=True, slots=True)
class Recipe:
    """How it learns."""

    epochs: int
    rate: float
    batch: int = 64
    weight_decay: float = 0.05
    light: float = 0.15  # one sigma of a canvas's gain
    tint: float = 0.05  # one sigma of a channel's offset


class Restorer(nn.Module):
    """Masked chips (N, 3, 32, 32), 0-1, to embeddings (N, 128)."""

    def __init__(self) -> None:
        super().__init__()
        widths = ((3, 32, 1), (32, 48, 2), (48, 64, 1), (64, 96, 2), (96, 128, 2))
        units = [unit for inputs, outputs, stride in widths for unit in _unit(inputs, outputs, stride)]
        self.layers = nn.Sequential(*units, nn.Flatten(), nn.Dropout(0.3), nn.Linear(128 * 16, SIZE))

    def forward(self, chips: Tensor) -> Tensor:
        """The embeddings."""
        guessed: Tensor = self.layers(chips * 2 - 1)
        return guessed

    @torch.inference_mode()
    def guess(self, frames: U8) -> F32:
        """Embeddings (N, 128) of tracks (N, F, H, W, 3): the mean of what each frame says."""
        said: F32 = self(small(frames).float() / 255).reshape(*frames.shape[:2], SIZE).mean(dim=1).numpy()
        return said


def _unit(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def small(frames: U8) -> Tensor:
    """Chips (N, F, H, W, 3) as (N * F, 3, 32, 32) uint8."""
    chips = frames.reshape(-1, *frames.shape[2:])
    scaled = np.stack([cv2.resize(chip, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA) for chip in chips])
    return torch.from_numpy(scaled).permute(0, 3, 1, 2)


def learn(chips: Tensor, wanted: F32, recipe: Recipe, start: Mapping[str, Tensor] | None = None) -> Restorer:
    """A network fitted to chips (N, 3, 32, 32) uint8 and embeddings (N, 128), from random weights or from `start`."""
    torch.manual_seed(0)
    network = Restorer()
    if start is not None:
        network.load_state_dict(start)
    targets = torch.from_numpy(wanted)
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * -(-len(chips) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps + 1)
    network.train()
    for _ in range(recipe.epochs):
        for chosen in torch.randperm(len(chips)).split(recipe.batch):
            seen = chips[chosen].float() / 255
            if torch.rand(()) < 0.5:
                seen = seen.flip(3)
            seen = seen * (1 + recipe.light * torch.randn(len(seen), 1, 1, 1))
            seen = seen + recipe.tint * torch.randn(len(seen), 3, 1, 1)
            guessed, right = network(seen), targets[chosen]
            apart = functional.cross_entropy(-CLOSENESS * torch.cdist(guessed, right), torch.arange(len(right)))
            loss = ((guessed - right) ** 2).sum(dim=1).mean() + TELLING_APART * apart
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()
