"""How much of a network is left when channels go, and which ones go: the cheapest loss for the work saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.train.slim.network import Kind, Plan, SlimNetwork
from scripts.train.slim.surgery import LEAST, Course, Group, course, cut, measure

LEAST_SHARE = 0.15  # of a group's channels that stays
WIDE = 48  # groups of so many channels lose eight at a time, narrower ones four
FILTERING, MAPPING = 18, 4  # multiply-adds that a filtered cell and one of a map in front of a filter cost: memory


@dataclass(frozen=True, slots=True)
class _Term:
    """A convolution: `each` for every pair of a channel that it makes and one that it reads."""

    each: float
    made: int
    maker: Group | None
    read: int
    sources: tuple[Group, ...]

    def cost(self, going: Mapping[Group, int]) -> float:
        made = self.made - (going[self.maker] if self.maker else 0)
        return self.each * made * (self.read - sum(going[group] for group in self.sources))


def shares(network: SlimNetwork, courses: Mapping[Group, Course], keep: float) -> dict[Group, int]:
    """How many channels of each group go until that share of the multiply-adds around them is left."""
    terms = _terms(network, list(courses))
    of_group: dict[Group, list[_Term]] = {group: [] for group in courses}
    for term in terms:
        for group in {*term.sources, *([term.maker] if term.maker else [])}:
            of_group[group].append(term)
    going = dict.fromkeys(courses, 0)
    total = left = sum(term.cost(going) for term in terms)
    while left > keep * total:
        offers = []
        for at, (group, own) in enumerate(courses.items()):
            if _room(own, going[group]):
                fewer = {**going, group: going[group] + _stride(own)}
                saved = sum(term.cost(going) - term.cost(fewer) for term in of_group[group])
                offers.append((_loss(own, going[group]) / saved, at, group, saved))
        if not offers:
            break
        _, _, group, saved = min(offers)
        going[group] += _stride(courses[group])
        left -= saved
    return going


def _terms(network: SlimNetwork, groups: list[Group]) -> list[_Term]:
    area = areas(network.plan)
    makers = {group.maker.result: group for group in groups}
    tensors = {group.tensor: group for group in groups}
    terms = []
    for step in network.plan.steps:
        if step.kind is not Kind.CONV:
            continue
        maker = makers.get(step.result)
        sources = tuple(tensors[part] for part in network.parts(step.inputs[0]) if part in tensors)
        if maker or sources:
            made, read, *window = network.of(step)[0].shape
            terms.append(_Term(area[step.result] * window[0] * window[1], made, maker, read, sources))
    for group in groups:
        if group.filter:
            each = FILTERING * area[group.tensor] + MAPPING * area[group.maker.result]
            terms.append(_Term(each, len(network.of(group.maker)[1]), group, 1, ()))
    return terms


def areas(plan: Plan) -> dict[int, float]:
    """How many cells each tensor has for a pixel of the picture."""
    area = {plan.image: 1.0}
    for step in plan.steps:
        grown = 2.0 if step.kind is Kind.DOUBLE else step.factor / step.stride
        area[step.result] = area[step.inputs[0]] * grown**2
    return area


def _stride(own: Course) -> int:
    return 8 if len(own.order) + LEAST >= WIDE else 4


def _room(own: Course, gone: int) -> bool:
    count = len(own.order) + LEAST
    return count - gone - _stride(own) >= max(LEAST, LEAST_SHARE * count)


def _loss(own: Course, gone: int) -> float:
    before = own.losses[gone - 1] if gone else 0.0
    return own.losses[gone + _stride(own) - 1] - before


@torch.no_grad()
def prune(network: SlimNetwork, batches: Iterable[Tensor], score: str, keep: float) -> None:
    """Leaves about that share of the multiply-adds, all groups together; all of them if it is 1."""
    if keep >= 1:
        return
    moments = measure(network, batches, score)
    courses = {group: course(network, group, own) for group, own in moments.items()}
    for group, count in shares(network, courses, keep).items():
        if count:
            cut(network, group, moments[group], courses[group].order[:count])
