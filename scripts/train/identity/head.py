"""The head: two dense layers on an embedding, fitted until photos that were kept aside get no better."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from anonymizer.types import F32


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a head is fitted; an epoch is one step over everything, which is little."""

    hidden: int = 32
    rate: float = 1e-2
    weight_decay: float = 1e-2
    epochs: int = 300
    patience: int = 25  # epochs without gain after which it stops


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Embeddings and whether they are of the person."""

    embeddings: F32  # (N, D)
    is_me: NDArray[np.bool_]  # (N,)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A head with the weights of its best epoch."""

    head: nn.Sequential
    epochs: int  # until it stopped
    loss: float  # the best one, on what was kept aside

    @torch.inference_mode()
    def accepts(self, embeddings: F32) -> NDArray[np.bool_]:
        """Which of the embeddings (N, D) it takes for the person, at even odds."""
        said: NDArray[np.bool_] = (self.head(torch.from_numpy(embeddings))[:, 0] > 0).numpy()
        return said


def fit(learn: Labelled, kept_aside: Labelled, recipe: Recipe, seed: int) -> Fitted:
    """A head for the person; both sets hold the person and others, who weigh the same however many they are."""
    torch.manual_seed(seed)
    head = nn.Sequential(nn.Linear(learn.embeddings.shape[1], recipe.hidden), nn.ReLU(), nn.Linear(recipe.hidden, 1))
    optimiser = torch.optim.AdamW(head.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    inputs, wanted = _tensors(learn)
    others, truth = _tensors(kept_aside)
    best, best_epoch, weights = float("inf"), 0, copy.deepcopy(head.state_dict())
    epoch = 0
    for epoch in range(1, recipe.epochs + 1):
        optimiser.zero_grad()
        _loss(head(inputs), wanted).backward()
        optimiser.step()
        with torch.inference_mode():
            loss = float(_loss(head(others), truth))
        if loss < best:
            best, best_epoch, weights = loss, epoch, copy.deepcopy(head.state_dict())
        elif epoch - best_epoch >= recipe.patience:
            break
    head.load_state_dict(weights)
    return Fitted(head, epoch, best)


def _tensors(data: Labelled) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(data.embeddings), torch.from_numpy(data.is_me.astype(np.float32))[:, None]


def _loss(logits: Tensor, wanted: Tensor) -> Tensor:
    share = wanted.mean()
    weights = wanted / share + (1 - wanted) / (1 - share)
    return (functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * weights).mean() / 2
