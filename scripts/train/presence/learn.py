"""Trains the classifier on picture labels: frozen features of ImageNet first, then their upper units too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from anonymizer.types import U8
from scripts.train.augment import Augmentation, Augmenter
from scripts.train.picture import Picture
from scripts.train.presence.examples import Example
from scripts.train.presence.fitted import fitted
from scripts.train.presence.judge import Answer, Verdict, judge
from scripts.train.presence.network import SOMEBODY, PresenceNet

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How it is trained."""

    side_px: int = 160  # of the square canvases
    expansion: int = 4  # canvases of each example: itself and augmented copies
    frozen_units: int = 11  # of the trunk that are never changed; their outputs are computed once
    head_epochs: int = 60
    tune_epochs: int = 15
    batch: int = 32
    head_rate: float = 1e-2
    tune_rate: float = 1e-3
    weight_decay: float = 1e-4
    smoothing: float = 0.05  # of the labels
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Cache:
    """What the frozen units made of the canvases."""

    features: Tensor  # (N, C, h, w)
    present: Tensor  # (N,) int64


def canvases(examples: Sequence[Example], recipe: Recipe) -> Iterator[tuple[U8, bool]]:
    """(side, side, 3) RGB: each example as it is, then its augmented copies; seeded by the numbers of both."""
    side = recipe.side_px
    augmenter = Augmenter(
        Augmentation(canvas_px=(side, side), object_height_px=None, zoom=(0.9, 1.3), shift=0.1, face_class_id=None)
    )
    for at, example in enumerate(examples):
        picture = example.load()
        yield fitted(picture, side, side)[0], example.present
        for copy in range(1, recipe.expansion):
            yield augmenter(picture, np.random.default_rng([recipe.seed, at, copy])).image, example.present


def as_tensor(images: Sequence[U8]) -> Tensor:
    """(N, 3, H, W) float32, 0-255."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()


@torch.inference_mode()
def cached(net: PresenceNet, examples: Sequence[Example], recipe: Recipe) -> Cache:
    """Runs the frozen units once over all canvases; raises DatasetError for a missing picture."""
    net.eval()
    made = list(canvases(examples, recipe))
    features = [
        net.features[: recipe.frozen_units](as_tensor([image for image, _ in made[at : at + 32]])).half()
        for at in range(0, len(made), 32)
    ]
    return Cache(torch.cat(features), torch.tensor([int(present) for _, present in made]))


def copies_up_to(cache: Cache, expansion: int, recipe: Recipe) -> Cache:
    """Of each example's canvases the first so many: what a smaller expansion would have made."""
    kept = torch.arange(len(cache.present)) % recipe.expansion < expansion
    return Cache(cache.features[kept], cache.present[kept])


@torch.inference_mode()
def try_net(net: PresenceNet, pictures: Sequence[Picture], side_px: int) -> Verdict:
    """The network on pictures fitted into squares, as the exported model sees them."""
    net.eval()
    answers, people = [], []
    for picture in pictures:
        canvas, boxes = fitted(picture, side_px, side_px)
        logits, maps = net(as_tensor([canvas]))
        difference = (maps[0, SOMEBODY] - maps[0, 1 - SOMEBODY]).numpy()
        answers.append(Answer(float(logits.softmax(1)[0, SOMEBODY]), difference))
        people.append(boxes)
    return judge(answers, people)


def train(net: PresenceNet, cache: Cache, recipe: Recipe, say: Say) -> None:
    """The dense layer alone, then the units above the frozen ones with it; in place.

    Batch normalisation keeps ImageNet's statistics: a few thousand canvases would only blur them.
    """
    torch.manual_seed(recipe.seed)
    upper = net.features[recipe.frozen_units :].eval()
    if recipe.head_epochs:
        with torch.inference_mode():
            # the mean of the dense layer's maps is the dense layer of the mean: one cell says it all
            pooled = [upper(part.float()).mean(dim=(2, 3), keepdim=True) for part in cache.features.split(64)]
        top = Cache(torch.cat(pooled).clone(), cache.present)
        _fit(net.head, nn.Identity(), top, recipe, epochs=recipe.head_epochs, rate=recipe.head_rate, say=say)
    if recipe.tune_epochs:
        _fit(net.head, upper, cache, recipe, epochs=recipe.tune_epochs, rate=recipe.tune_rate, say=say)


def _fit(
    head: nn.Module, upper: nn.Module, cache: Cache, recipe: Recipe, *, epochs: int, rate: float, say: Say
) -> None:
    parameters = [*upper.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=recipe.weight_decay)
    steps = max(1, epochs * -(-len(cache.present) // recipe.batch))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=steps + 1, pct_start=0.1)
    generator = torch.Generator().manual_seed(recipe.seed)
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(cache.present), generator=generator).split(recipe.batch):
            features = cache.features[chosen].float()
            if torch.rand((), generator=generator) < 0.5:
                features = features.flip(3)
            logits, _ = head(upper(features))
            loss = functional.cross_entropy(logits, cache.present[chosen], label_smoothing=recipe.smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(chosen)
        if epoch % 5 == 4 or epoch == epochs - 1:
            say(f"epoch {epoch + 1} of {epochs}: loss {total / len(cache.present):.4f}")
