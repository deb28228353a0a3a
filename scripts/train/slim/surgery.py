"""Takes channels out of a network, the ones whose work the others do best, and hands that work over to them.

A channel that only convolutions of 1x1 read can go if their weights for the others are solved anew by least squares
over what pictures show. The order and the new weights follow from the covariance of the channels, as Hassibi and Stork
(1992, "Second order derivatives for network pruning") have it for single weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.train.slim.network import Kind, Plan, SlimNetwork, Step

LEAST = 8  # channels that stay
LEAST_SHARE = 0.15  # of a group's channels that stays
WIDE = 48  # groups of so many channels lose eight at a time, narrower ones four
CELLS = 12_000  # of a batch that are looked at in each group
ATTENTION = 30.0  # how much more a cell counts where there is a face for sure
RIDGE = 1e-6  # of the mean variance, added to every channel's


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that can go: made by one convolution, perhaps filtered each by itself, read by 1x1 convolutions."""

    maker: Step
    filter: Step | None
    readers: tuple[Step, ...]

    @property
    def tensor(self) -> int:
        """What the readers read."""
        return (self.filter or self.maker).result


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of the channels of a group over what was shown, float64."""

    mean: Tensor  # (C,)
    covariance: Tensor  # (C, C)
    cells: int  # of one picture


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """In which order the channels of a group go best, and what each step of it costs and saves."""

    order: tuple[int, ...]
    losses: tuple[float, ...]  # share of the variance of what the readers make that is lost after so many
    saved: float  # multiply-adds of a picture for each channel


def merge(network: SlimNetwork) -> None:
    """Joins a 1x1 convolution without ReLU and the only step that reads it, a 1x1 convolution, where one is cheaper."""
    for step in network.plan.steps:
        readers = network.readers(step.result)
        if (
            step.relu
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
            Step(Kind.CONV, reader.result, step.inputs, relu=reader.relu) if each is reader else each
            for each in network.plan.steps
            if each is not step
        ]
        network.plan = Plan(tuple(steps), network.plan.image, network.plan.outputs, network.plan.scores)
        del network.weights[str(step.result)], network.biases[str(step.result)]
        network.put(reader.result, joined.float()[:, :, None, None], bias.float())
        merge(network)
        return


def groups(network: SlimNetwork) -> list[Group]:
    """All groups of channels that can go, from the input on."""
    found, said = [], set(network.plan.outputs.values())
    for maker in network.plan.steps:
        if maker.kind is not Kind.CONV or not maker.relu:
            continue
        readers, deep = network.readers(maker.result), None
        if len(readers) == 1 and readers[0].kind is Kind.DEPTHWISE and readers[0].relu:
            deep = readers[0]
            readers = network.readers(deep.result)
        is_inner = said.isdisjoint({maker.result, deep.result if deep else maker.result})
        if is_inner and readers and all(_is_pointwise(network, each) for each in readers):
            found.append(Group(maker, deep, tuple(readers)))
    return found


def _is_pointwise(network: SlimNetwork, step: Step) -> bool:
    return step.kind is Kind.CONV and step.stride == 1 and network.of(step)[0].shape[2:] == (1, 1)


@torch.no_grad()
def measure(network: SlimNetwork, batches: Iterable[Tensor], score: str, seed: int = 0) -> dict[Group, Moments]:
    """What the channels of each group show on pictures (B, 3, H, W); cells count more where `score` finds something."""
    found = groups(network)
    generator = torch.Generator().manual_seed(seed)
    sums: dict[Group, tuple[Tensor, Tensor, Tensor, int]] = {}
    for pictures in batches:
        made = network(pictures, [group.tensor for group in found])
        heat = made[network.plan.outputs[score]].sigmoid().amax(1, keepdim=True)
        for group in found:
            values = made[group.tensor]
            cells = values.shape[2] * values.shape[3]
            weight = 1 + ATTENTION * torch.nn.functional.adaptive_max_pool2d(heat, values.shape[2:]).flatten().double()
            rows = values.permute(0, 2, 3, 1).flatten(0, 2)
            if len(rows) > CELLS:
                at = torch.randperm(len(rows), generator=generator)[:CELLS]
                rows, weight = rows[at], weight[at]
            rows = rows.double()
            own = (weight.sum(), weight @ rows, (rows * weight[:, None]).T @ rows, cells)
            before = sums.get(group)
            sums[group] = own if before is None else (*(a + b for a, b in zip(before[:3], own[:3], strict=True)), cells)
    return {group: _moments(*parts) for group, parts in sums.items()}


def _moments(total: Tensor, first: Tensor, second: Tensor, cells: int) -> Moments:
    mean = first / total
    covariance = second / total - torch.outer(mean, mean)
    return Moments(mean, covariance + RIDGE * covariance.diagonal().mean() * torch.eye(len(mean)).double(), cells)


@torch.no_grad()
def course(network: SlimNetwork, group: Group, moments: Moments) -> Course:
    """Always that channel next whose loss, the others' weights solved anew, is least."""
    weights = torch.cat([network.of(reader)[0][:, :, 0, 0] for reader in group.readers]).double()
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
    return Course(tuple(order), tuple(losses), _saved(network, group, moments.cells))


def _saved(network: SlimNetwork, group: Group, cells: int) -> float:
    """Filtering and a map at full size cost more than their multiply-adds: they wait for memory."""
    before = cells * (group.filter.stride**2 if group.filter else 1)
    making = before * network.of(group.maker)[0][0].numel()
    reading = cells * sum(len(network.of(reader)[0]) for reader in group.readers)
    return making + reading + (18 * cells + 4 * before if group.filter else 0)


def shares(courses: Mapping[Group, Course], keep: float) -> dict[Group, int]:
    """How many channels of each group go until that share of the multiply-adds is left, the cheapest losses first."""
    cut = dict.fromkeys(courses, 0)
    total = left = sum(course.saved * (len(course.order) + LEAST) for course in courses.values())
    while left > keep * total:
        offers = [
            (_price(each, cut[group]), at, group)
            for at, (group, each) in enumerate(courses.items())
            if _room(each, cut[group])
        ]
        if not offers:
            break
        _, _, group = min(offers)
        cut[group] += _stride(courses[group])
        left -= courses[group].saved * _stride(courses[group])
    return cut


def _stride(course: Course) -> int:
    return 8 if len(course.order) + LEAST >= WIDE else 4


def _room(course: Course, cut: int) -> bool:
    count = len(course.order) + LEAST
    return count - cut - _stride(course) >= max(LEAST, LEAST_SHARE * count)


def _price(course: Course, cut: int) -> float:
    step = _stride(course)
    before = course.losses[cut - 1] if cut else 0.0
    return (course.losses[cut + step - 1] - before) / (course.saved * step)


@torch.no_grad()
def cut(network: SlimNetwork, group: Group, moments: Moments, gone: Sequence[int]) -> None:
    """Takes those channels out and solves the readers' weights anew."""
    staying = torch.tensor(sorted(set(range(len(moments.mean))) - set(gone)))
    covariance = moments.covariance
    told = torch.linalg.solve(covariance[staying][:, staying], covariance[staying])  # (kept, C): the rest by the kept
    for reader in group.readers:
        weights, bias = network.of(reader)
        own = weights[:, :, 0, 0].double()
        fewer = own @ told.T
        network.put(
            reader.result,
            fewer.float()[:, :, None, None],
            (bias.double() + own @ moments.mean - fewer @ moments.mean[staying]).float(),
        )
    for step in (group.maker, group.filter):
        if step is not None:
            weights, bias = network.of(step)
            network.put(step.result, weights[staying].clone(), bias[staying].clone())


def prune(network: SlimNetwork, batches: Iterable[Tensor], score: str, keep: float) -> None:
    """Leaves about that share of the multiply-adds, all groups together."""
    merge(network)
    moments = measure(network, batches, score)
    courses = {group: course(network, group, own) for group, own in moments.items()}
    for group, count in shares(courses, keep).items():
        if count:
            cut(network, group, moments[group], courses[group].order[:count])
