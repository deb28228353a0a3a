"""Fine-tuning for int8: the network learns with weights and activations rounded as the exported file rounds them."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from anonymizer.types import U8
from scripts.train.network import Level
from scripts.train.networks import Network
from scripts.train.objective import Batch, losses
from scripts.train.recipe import Recipe

RATE = 2e-3  # highest learning rate; of weights as share of their channel's greatest
LEAST_PEAK = 1e-3  # of the greatest weight: what the exporter takes for the peak of a channel that is weaker still
KEPT = 0.98  # of the averaged weights at each step


def fine_tune(network: Network, views: Sequence[U8], batches: Iterable[Batch], steps: int, recipe: Recipe) -> Network:
    """A copy that has learned from `steps` batches to lose little by int8 (Jacob et al. 2018, 1712.05877).

    Weights are rounded for each output channel, the inputs of convolutions and the levels for each tensor. The ranges
    of the latter are those that the network shows on `views` (H, W, 3) RGB, and stay. Batch norm is folded in first,
    and left in place doing nothing but adding its bias, so that the copy is exported as any other.
    """
    tuned = fold(copy.deepcopy(network)).eval()
    rounders = _attach(tuned)
    with torch.no_grad():
        for view in views:
            tuned(torch.from_numpy(view)[None].permute(0, 3, 1, 2).float())
    for rounder in rounders:
        rounder.freeze()
    with _rounded_weights(tuned):
        learning = [each for each in tuned.parameters() if each.requires_grad]
        average = [each.detach().clone() for each in learning]
        optimiser = torch.optim.AdamW(learning, lr=RATE, weight_decay=0.0)
        for step, batch in zip(range(steps), batches, strict=False):
            for group in optimiser.param_groups:
                group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
            score_loss, box_loss = losses(tuned, batch, recipe.gamma)
            optimiser.zero_grad(set_to_none=True)
            (score_loss + recipe.box_weight * box_loss).backward()
            nn.utils.clip_grad_norm_(learning, recipe.most_gradient)
            optimiser.step()
            with torch.no_grad():
                for slow, fast in zip(average, learning, strict=True):
                    slow.lerp_(fast, 1 - min(KEPT, (1 + step) / (10 + step)))
        with torch.no_grad():
            for slow, fast in zip(average, learning, strict=True):
                fast.copy_(slow)
    for rounder in rounders:
        rounder.remove()
    return tuned


def fold(network: Network) -> Network:
    """The same network, its batch norms in evaluation doing nothing but adding what they learn: their bias."""
    for convolution, norm in _normalised(network):
        with torch.no_grad():
            factor = norm.weight / (norm.running_var + norm.eps).sqrt()
            bias = torch.zeros_like(norm.bias) if convolution.bias is None else convolution.bias
            norm.bias.copy_(norm.bias + (bias - norm.running_mean) * factor)
            convolution.weight.mul_(factor[:, None, None, None])
            norm.weight.fill_(1.0)
            norm.running_mean.zero_()
            norm.running_var.fill_(1.0 - norm.eps)
        norm.weight.requires_grad = False
        if convolution.bias is not None:
            convolution.bias.requires_grad = False
            convolution.bias.detach().zero_()
    return network


def _normalised(network: nn.Module) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            for first, second in pairwise(module):
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    yield first, second


class Rounder:
    """Watches a tensor's range until it is frozen, then rounds it to the 256 steps of that range."""

    def __init__(self) -> None:
        self._low, self._high = 0.0, 1e-6  # zero is always one of the steps
        self._is_frozen = False
        self.remove: Callable[[], None] = lambda: None  # takes it off its module

    def freeze(self) -> None:
        """The range stays from now on."""
        self._is_frozen = True

    def __call__(self, values: Tensor) -> Tensor:
        """The values, rounded once the range is frozen; gradients pass where they lie inside."""
        if not self._is_frozen:
            self._low, self._high = min(self._low, values.min().item()), max(self._high, values.max().item())
            return values
        scale = (self._high - self._low) / 255
        return torch.fake_quantize_per_tensor_affine(values, scale, round(-128 - self._low / scale), -128, 127)


def _attach(network: Network) -> list[Rounder]:
    rounders = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            rounder = Rounder()
            hook = module.register_forward_pre_hook(lambda _, inputs, rounder=rounder: rounder(inputs[0]))
            rounder.remove = hook.remove
            rounders.append(rounder)
    levels = [(Rounder(), Rounder()) for _ in network.architecture.strides_px]

    def round_levels(_: nn.Module, __: object, found: list[Level]) -> list[Level]:
        return [
            replace(level, logits=logits(level.logits), encodings=encodings(level.encodings))
            for level, (logits, encodings) in zip(found, levels, strict=True)
        ]

    levels[0][0].remove = network.register_forward_hook(round_levels).remove
    return [*rounders, *(each for pair in levels for each in pair)]


class _RoundedWeights(nn.Module):
    """Learned as shares of each channel's first peak, for folded channels differ in scale a thousandfold."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("_unit", _peaks(weights).reshape(-1, 1, 1, 1))

    def forward(self, shares: Tensor) -> Tensor:
        weights = shares * self._unit
        zeros = torch.zeros(len(weights), dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weights, _peaks(weights) / 127, zeros, 0, -127, 127)

    def right_inverse(self, weights: Tensor) -> Tensor:
        return weights / self._unit


def _peaks(weights: Tensor) -> Tensor:
    """The greatest weight of each output channel, as the exporter takes it."""
    peaks = weights.detach().abs().amax(dim=(1, 2, 3))
    return peaks.clamp(min=max(LEAST_PEAK * peaks.max().item(), 1e-9))


@contextlib.contextmanager
def _rounded_weights(network: Network) -> Iterator[None]:
    convolutions = [each for each in network.modules() if isinstance(each, nn.Conv2d)]
    for each in convolutions:
        parametrize.register_parametrization(each, "weight", _RoundedWeights(each.weight))
    yield
    for each in convolutions:
        parametrize.remove_parametrizations(each, "weight", leave_parametrized=True)
