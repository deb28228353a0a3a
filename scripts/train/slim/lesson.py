"""How far a narrowed network is from the one that it was: scores, boxes, and the maps in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from scripts.train.slim.network import Kind, Plan, SlimNetwork

LEAST_SCORE = 0.05  # of the teacher, from which a cell's box is learned
FEWEST = 10.0  # what losses are divided by at least: a batch without faces teaches little
CLOSE = 0.05  # weight of a cell whose score is right already
SCORE_WEIGHT = 2.0
FAINT_WEIGHT = 0.5  # of how far apart the logits of cells are: it is the faint scores that decide what is missed
SIDES = 4  # of a box; an output of more channels holds a distribution for each
MOST_APART = 2.0  # in logits, beyond which a cell's loss grows no faster


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Of one batch; their sum is to be made small."""

    scores: Tensor
    boxes: Tensor
    maps: Tensor

    def sum(self) -> Tensor:
        """What is differentiated."""
        return self.scores + self.boxes + self.maps

    def detach(self) -> Losses:
        """The numbers alone."""
        return Losses(self.scores.detach(), self.boxes.detach(), self.maps.detach())


def landmarks(network: SlimNetwork) -> list[int]:
    """Maps that narrowing leaves as wide as they were: the sums, and what 1x1 convolutions without ReLU make."""
    outputs = set(network.plan.outputs.values())
    return [
        step.result
        for step in network.plan.steps
        if step.result not in outputs
        and (
            step.kind is Kind.ADD
            or (step.kind is Kind.CONV and not step.is_bent and len(network.readers(step.result)) > 1)
        )
    ]


def compare(plan: Plan, found: Mapping[int, Tensor], expected: Mapping[int, Tensor], marks: list[int]) -> Losses:
    """Losses of what a network says against what its teacher says of the same pictures."""
    score_loss = box_loss = torch.zeros(())
    for name in sorted(plan.scores):
        own, theirs = found[plan.outputs[name]].float(), expected[plan.outputs[name]].float()
        target = theirs.sigmoid()
        sure = target * (target > LEAST_SCORE)
        total = sure.sum().clamp(min=FEWEST)
        excess = _entropy(own, target) - _entropy(theirs, target)
        score_loss = score_loss + SCORE_WEIGHT * (excess * ((own.sigmoid() - target).abs() + CLOSE)).sum() / total
        faint = functional.smooth_l1_loss(own, theirs, reduction="none", beta=MOST_APART) * (target > LEAST_SCORE)
        score_loss = score_loss + FAINT_WEIGHT * faint.sum() / (target > LEAST_SCORE).sum().clamp(min=FEWEST)
        for other, tensor in plan.outputs.items():
            if other not in plan.scores and found[tensor].shape[2:] == own.shape[2:]:
                away = _away(found[tensor].float(), expected[tensor].float())
                box_loss = box_loss + (away * sure.amax(1, keepdim=True)).sum() / total
    pairs = [(found[mark].float(), expected[mark].float()) for mark in marks]
    apart = [((own - theirs) ** 2).mean() / theirs.var().clamp(min=1e-6) for own, theirs in pairs]
    return Losses(score_loss, box_loss, torch.stack(apart).mean() if apart else torch.zeros(()))


def _away(found: Tensor, expected: Tensor) -> Tensor:
    """How far boxes are from the teacher's: four numbers, or else a distribution for each side."""
    if found.shape[1] % SIDES or found.shape[1] == SIDES:
        return (found - expected).abs()
    own, theirs = (each.unflatten(1, (SIDES, -1)).log_softmax(2) for each in (found, expected))
    return (theirs.exp() * (theirs - own)).sum(2)


def _entropy(logits: Tensor, target: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
