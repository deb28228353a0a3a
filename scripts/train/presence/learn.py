"""Trains the classifier on picture labels: the dense layer on frozen features first, then what is below it too."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from anonymizer.types import U8
from scripts.train.augment import Augmentation, Augmenter
from scripts.train.picture import Picture
from scripts.train.presence.examples import LEAST_PX, Example
from scripts.train.presence.fitted import fitted
from scripts.train.presence.judge import Answer, Verdict, judge
from scripts.train.presence.network import SOMEBODY, PresenceNet
from scripts.train.presence.pyramid import PyramidNet

Net = PresenceNet | PyramidNet
Levels = tuple[Tensor, ...]
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
    low_resolution_share: float = 0.1  # of the augmented copies
    low_resolution: tuple[float, float] = (1.3, 2.5)  # by which they are shrunk and brought back
    seed: int = 0


ON_PYRAMID = Recipe(
    side_px=256,
    expansion=2,
    head_epochs=1,
    tune_epochs=1,
    head_rate=3e-4,
    tune_rate=3e-4,
    low_resolution_share=0.5,
    low_resolution=(1.3, 256 / LEAST_PX),
)


@dataclass(frozen=True, slots=True, eq=False)
class Cache:
    """What the frozen part made of the canvases."""

    levels: Levels  # each (N, C, h, w) float16; a trunk of ImageNet has one
    present: Tensor  # (N,) int64


def canvases(examples: Sequence[Example], recipe: Recipe) -> Iterator[tuple[U8, bool]]:
    """(side, side, 3) RGB: each example as it is, then its augmented copies; seeded by the numbers of both."""
    side = recipe.side_px
    augmenter = Augmenter(
        Augmentation(
            canvas_px=(side, side),
            object_height_px=None,
            zoom=(0.9, 1.3),
            shift=0.1,
            face_class_id=None,
            low_resolution_share=recipe.low_resolution_share,
            low_resolution=recipe.low_resolution,
        )
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
def cached(net: Net, examples: Sequence[Example], recipe: Recipe) -> Cache:
    """Runs the frozen part once over all canvases; raises DatasetError for a missing picture."""
    net.eval()
    count = len(examples) * recipe.expansion
    present = torch.empty(count, dtype=torch.int64)
    kept: Levels = ()
    made = canvases(examples, recipe)
    for chosen in torch.arange(count).split(recipe.batch):
        batch = list(itertools.islice(made, len(chosen)))
        levels = _lower(net, recipe)(as_tensor([image for image, _ in batch]))
        kept = kept or tuple(torch.empty((count, *level.shape[1:]), dtype=torch.float16) for level in levels)
        for whole, part in zip(kept, levels, strict=True):
            whole[chosen] = part.half()
        present[chosen] = torch.tensor([int(each) for _, each in batch])
    return Cache(kept, present)


def copies_up_to(cache: Cache, expansion: int, recipe: Recipe) -> Cache:
    """Of each example's canvases the first so many: what a smaller expansion would have made."""
    kept = torch.arange(len(cache.present)) % recipe.expansion < expansion
    return Cache(tuple(level[kept] for level in cache.levels), cache.present[kept])


@torch.inference_mode()
def answers_of(net: Net, squares: Sequence[U8]) -> list[Answer]:
    """What the network says of canvases (H, W, 3)."""
    net.eval()
    answers = []
    for canvas in squares:
        logits, maps = net(as_tensor([canvas]))
        difference = (maps[0, SOMEBODY] - maps[0, 1 - SOMEBODY]).numpy()
        answers.append(Answer(float(logits.softmax(1)[0, SOMEBODY]), difference))
    return answers


def try_net(net: Net, pictures: Sequence[Picture], side_px: int) -> Verdict:
    """The network on pictures fitted into squares, as the exported model sees them."""
    squares, people = zip(*(fitted(picture, side_px, side_px) for picture in pictures), strict=True)
    return judge(answers_of(net, squares), people)


def train(net: Net, cache: Cache, recipe: Recipe, say: Say) -> None:
    """The dense layer alone, then what lies between it and the frozen part with it; in place.

    Batch normalisation keeps ImageNet's statistics: a few thousand canvases would only blur them.
    """
    torch.manual_seed(recipe.seed)
    net.eval()
    if isinstance(net, PyramidNet):
        dense, tuned = [branch[2] for branch in net.branches], [net.branches]
    else:
        dense, tuned = [net.head], [net.features[recipe.frozen_units :], net.head]
    top, run = cache, _upper(net, recipe)
    if recipe.head_epochs and isinstance(net, PresenceNet):
        with torch.inference_mode():
            # the mean of the dense layer's maps is the dense layer of the mean: one cell says it all
            parts = cache.levels[0].split(64)
            pooled = [net.features[recipe.frozen_units :](part.float()).mean((2, 3), keepdim=True) for part in parts]
        top, run = Cache((torch.cat(pooled).clone(),), cache.present), lambda levels: net.head(levels[0])[0]
    if recipe.head_epochs:
        _fit(run, dense, top, recipe, epochs=recipe.head_epochs, rate=recipe.head_rate, say=say)
    if recipe.tune_epochs:
        _fit(_upper(net, recipe), tuned, cache, recipe, epochs=recipe.tune_epochs, rate=recipe.tune_rate, say=say)


def _lower(net: Net, recipe: Recipe) -> Callable[[Tensor], Levels]:
    """What the frozen part makes of pictures."""
    if isinstance(net, PyramidNet):
        return net.lower
    return lambda pictures: (net.features[: recipe.frozen_units](pictures),)


def _upper(net: Net, recipe: Recipe) -> Callable[[Levels], Tensor]:
    """Logits (N, 2) of what the frozen part made."""
    if isinstance(net, PyramidNet):
        return lambda levels: net.upper(levels)[0]
    return lambda levels: net.head(net.features[recipe.frozen_units :](levels[0]))[0]


@torch.inference_mode()
def calibrate(net: Net, cache: Cache, recipe: Recipe) -> float:
    """Shifts the score so that 0.5 best parts other pictures, as many of each kind; returns the share that is right."""
    net.eval()
    run = _upper(net, recipe)
    parts = [run(tuple(level[part].float() for level in cache.levels)).double() for part in _batches(cache, recipe)]
    logits = torch.cat([part[:, SOMEBODY] - part[:, 1 - SOMEBODY] for part in parts]).numpy()
    order = logits.argsort()
    present = cache.present.numpy()[order]
    # of a cut below each example, and of one above all: those with somebody beyond it, those of nobody before it
    right = np.append(present[::-1].cumsum()[::-1], 0) + np.append(0, (1 - present).cumsum())
    cut = int(right.argmax())  # the lowest of equals: to overlook somebody is worse
    edges = np.concatenate([logits[order[:1]] - 1, logits[order], logits[order[-1:]] + 1])
    net.shift(-float(edges[cut : cut + 2].mean()))
    return float(right.max()) / len(present)


def _batches(cache: Cache, recipe: Recipe, generator: torch.Generator | None = None) -> Sequence[Tensor]:
    """Numbers of the canvases, in their order or shuffled."""
    count = len(cache.present)
    numbers = torch.arange(count) if generator is None else torch.randperm(count, generator=generator)
    return numbers.split(recipe.batch)


def _fit(
    run: Callable[[Levels], Tensor],
    learning: Sequence[nn.Module],
    cache: Cache,
    recipe: Recipe,
    *,
    epochs: int,
    rate: float,
    say: Say,
) -> None:
    parameters = [each for module in learning for each in module.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=recipe.weight_decay)
    steps = max(1, epochs * -(-len(cache.present) // recipe.batch))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=steps + 1, pct_start=0.1)
    generator = torch.Generator().manual_seed(recipe.seed)
    for epoch in range(epochs):
        total = 0.0
        for chosen in _batches(cache, recipe, generator):
            levels = tuple(level[chosen].float() for level in cache.levels)
            if torch.rand((), generator=generator) < 0.5:
                levels = tuple(level.flip(3) for level in levels)
            loss = functional.cross_entropy(run(levels), cache.present[chosen], label_smoothing=recipe.smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(chosen)
        if epoch % 5 == 4 or epoch == epochs - 1:
            say(f"epoch {epoch + 1} of {epochs}: loss {total / len(cache.present):.4f}")
