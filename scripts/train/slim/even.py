"""Evens out the channels in front of convolutions, so that one int8 scale for a tensor serves all of them.

A channel behind a ReLU that is doubled, and its weights in what reads it halved, leaves the float network as it is
(Nagel et al. 2019, 1906.04721).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor

from scripts.train.slim.network import Kind, SlimNetwork

MOST = 1.0  # exponent of two; more clips channels that few pictures wake


@torch.no_grad()
def even(network: SlimNetwork, pictures: Iterable[Tensor]) -> SlimNetwork:
    """A copy whose channels reach more alike on the pictures (B, 3, H, W); what it says stays as it was."""
    convolutions = (Kind.CONV, Kind.DEPTHWISE)
    makers = [
        step
        for step in network.plan.steps
        if step.is_bent
        and step.kind in convolutions
        and all(each.kind in convolutions for each in network.readers(step.result))
    ]
    peaks: dict[int, Tensor] = {}
    for batch in pictures:
        made = network(batch, [step.result for step in makers])
        for step in makers:
            own = made[step.result].amax((0, 2, 3))
            peaks[step.result] = torch.maximum(peaks.get(step.result, own), own)
    fair = copy.deepcopy(network)
    for step in makers:
        peak = peaks[step.result]
        gain = torch.exp2((peak.max() / peak.clamp(min=1e-6)).log2().clamp(0, MOST).floor())
        weights, bias = fair.of(step)
        fair.put(step.result, weights * gain[:, None, None, None], bias * gain)
        for reader in fair.readers(step.result):
            weights, bias = fair.of(reader)
            shape = (-1, 1, 1, 1) if reader.kind is Kind.DEPTHWISE else (1, -1, 1, 1)
            fair.put(reader.result, weights / gain.view(shape), bias)
    return fair
