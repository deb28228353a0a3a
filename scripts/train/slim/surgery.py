"""Takes channels out of a network, the ones whose work the others do best, and hands that work over to them.

A channel that only convolutions read can go if their weights for the others are solved anew by least squares over what
pictures show. The order and the new weights follow from the covariance of the channels, as Hassibi and Stork (1992,
"Second order derivatives for network pruning") have it for single weights. Of wider convolutions than 1x1 each cell of
the window is solved by itself: neighbours that tell of each other are left out of account.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scripts.train.slim.network import Kind, SlimNetwork, Step

LEAST = 8  # channels that stay
CELLS = 12_000  # of a batch that are looked at in each group
ATTENTION = 30.0  # how much more a cell counts where there is a face for sure
RIDGE = 1e-6  # of the mean variance, added to every channel's


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that can go: made by one convolution, perhaps filtered or pooled by itself, read by convolutions."""

    maker: Step
    filter: Step | None
    readers: tuple[Step, ...]  # some through concatenations

    @property
    def tensor(self) -> int:
        """What the readers read."""
        return (self.filter or self.maker).result


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of the channels of a group over what was shown, float64."""

    mean: Tensor  # (C,)
    covariance: Tensor  # (C, C)


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """In which order the channels of a group go best, and what each step of it costs."""

    order: tuple[int, ...]
    losses: tuple[float, ...]  # share of the variance of what the readers make that is lost after so many


def merge(network: SlimNetwork) -> None:
    """Joins a 1x1 convolution without ReLU and the only step that reads it, a 1x1 convolution, where one is cheaper."""
    for step in network.plan.steps:
        readers = network.readers(step.result)
        if (
            step.is_bent
            or step.result in network.plan.outputs.values()
            or len(readers) != 1
            or not all(_is_pointwise(network, each) for each in (step, *readers))
        ):
            continue
        (reader,) = readers
        (first, first_bias), (second, second_bias) = network.of(step), network.of(reader)
        (middle, ins), outs = first.shape[:2], len(second)
        if ins * outs >= middle * (ins + outs):
            continue
        with torch.no_grad():
            joined = torch.einsum("om,mi->oi", second[:, :, 0, 0].double(), first[:, :, 0, 0].double())
            bias = second[:, :, 0, 0].double() @ first_bias.double() + second_bias.double()
        steps = [
            Step(Kind.CONV, reader.result, step.inputs, slope=reader.slope) if each is reader else each
            for each in network.plan.steps
            if each is not step
        ]
        network.plan = replace(network.plan, steps=tuple(steps))
        del network.weights[str(step.result)], network.biases[str(step.result)]
        network.put(reader.result, joined.float()[:, :, None, None], bias.float())
        merge(network)
        return


def groups(network: SlimNetwork) -> list[Group]:
    """All groups of channels that can go, from the input on."""
    found, said = [], set(network.plan.outputs.values())
    for maker in network.plan.steps:
        if maker.kind is not Kind.CONV or not maker.is_bent:
            continue
        following = network.readers(maker.result)
        deep = following[0] if len(following) == 1 and _is_filter(following[0]) else None
        shown, readers = _readers(network, (deep or maker).result)
        is_inner = said.isdisjoint([maker.result, *shown])
        if is_inner and readers and all(each.kind is Kind.CONV for each in readers):
            found.append(Group(maker, deep, tuple(readers)))
    return found


def _readers(network: SlimNetwork, tensor: int) -> tuple[list[int], list[Step]]:
    """Where a tensor shows, in itself and in concatenations, and the steps that read it there."""
    shown, found = [tensor], []
    for step in network.readers(tensor):
        if step.kind is Kind.CONCAT:
            further, steps = _readers(network, step.result)
            shown += further
            found += steps
        else:
            found.append(step)
    return shown, found


def _is_filter(step: Step) -> bool:
    return step.kind is Kind.POOL or (step.kind is Kind.DEPTHWISE and step.is_bent)


def _is_pointwise(network: SlimNetwork, step: Step) -> bool:
    return step.kind is Kind.CONV and step.stride == 1 and network.of(step)[0].shape[2:] == (1, 1)


def _read(network: SlimNetwork, group: Group, reader: Step) -> Tensor:
    """A reader's weights for the channels of a group, each output and each cell of the window a row, float64."""
    weights = network.of(reader)[0][:, network.place(reader, group.tensor)]
    return weights.permute(0, 2, 3, 1).flatten(0, 2).double()


@torch.no_grad()
def measure(network: SlimNetwork, batches: Iterable[Tensor], score: str, seed: int = 0) -> dict[Group, Moments]:
    """What the channels of each group show on pictures (B, 3, H, W); cells count more where `score` finds something."""
    found = groups(network)
    generator = torch.Generator().manual_seed(seed)
    sums: dict[Group, tuple[Tensor, Tensor, Tensor]] = {}
    for pictures in batches:
        made = network(pictures, [group.tensor for group in found])
        heat = made[network.plan.outputs[score]].sigmoid().amax(1, keepdim=True)
        for group in found:
            values = made[group.tensor]
            weight = 1 + ATTENTION * torch.nn.functional.adaptive_max_pool2d(heat, values.shape[2:]).flatten().double()
            rows = values.permute(0, 2, 3, 1).flatten(0, 2)
            if len(rows) > CELLS:
                at = torch.randperm(len(rows), generator=generator)[:CELLS]
                rows, weight = rows[at], weight[at]
            rows = rows.double()
            own = (weight.sum(), weight @ rows, (rows * weight[:, None]).T @ rows)
            before = sums.get(group)
            sums[group] = own if before is None else (before[0] + own[0], before[1] + own[1], before[2] + own[2])
    return {group: _moments(*parts) for group, parts in sums.items()}


def _moments(total: Tensor, first: Tensor, second: Tensor) -> Moments:
    mean = first / total
    covariance = second / total - torch.outer(mean, mean)
    return Moments(mean, covariance + RIDGE * covariance.diagonal().mean() * torch.eye(len(mean)).double())


@torch.no_grad()
def course(network: SlimNetwork, group: Group, moments: Moments) -> Course:
    """Always that channel next whose loss, the others' weights solved anew, is least."""
    weights = torch.cat([_read(network, group, reader) for reader in group.readers])
    variance = float(torch.einsum("oc,cd,od->", weights, moments.covariance, weights))
    inverse = torch.linalg.inv(moments.covariance)
    order: list[int] = []
    losses: list[float] = []
    gone = torch.zeros(len(inverse), dtype=torch.bool)
    for _ in range(len(inverse) - LEAST):
        losing = (weights**2).sum(0) / inverse.diagonal()
        losing[gone] = torch.inf
        channel = int(losing.argmin())
        losses.append((losses[-1] if losses else 0.0) + float(losing[channel]) / max(variance, 1e-12))
        order.append(channel)
        row = inverse[channel].clone()
        weights = weights - torch.outer(weights[:, channel], row / row[channel])
        inverse = inverse - torch.outer(row, row / row[channel])
        gone[channel] = True
        weights[:, channel], inverse[channel, channel] = 0.0, 1.0
    return Course(tuple(order), tuple(losses))


@torch.no_grad()
def cut(network: SlimNetwork, group: Group, moments: Moments, gone: Sequence[int]) -> None:
    """Takes those channels out and solves the readers' weights anew."""
    staying = torch.tensor(sorted(set(range(len(moments.mean))) - set(gone)))
    covariance = moments.covariance
    told = torch.linalg.solve(covariance[staying][:, staying], covariance[staying])  # (kept, C): the rest by the kept
    for reader in group.readers:
        weights, bias = network.of(reader)
        place = network.place(reader, group.tensor)
        own = weights[:, place].double()
        fewer = torch.einsum("ochw,kc->okhw", own, told)
        parts = (weights[:, : place.start], fewer.float(), weights[:, place.stop :])
        lost = own.sum((2, 3)) @ moments.mean - fewer.sum((2, 3)) @ moments.mean[staying]
        network.put(reader.result, torch.cat(parts, 1), (bias.double() + lost).float())
    for step in (group.maker, group.filter):
        if step is not None and step.kind is not Kind.POOL:
            weights, bias = network.of(step)
            network.put(step.result, weights[staying].clone(), bias[staying].clone())
