"""Writes a network back as a TFLite file, for one size of input."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from anonymizer.types import F32, Size
from scripts.models.graph import NO_ACTIVATION, RELU, SAME, VALID, GraphWriter
from scripts.train.slim.network import Kind, SlimNetwork

LOGITS = "logits"  # name of what goes into a sigmoid


def emit(network: SlimNetwork, size: Size, *, description: str, half_weights: bool) -> bytes:
    """Input `image` (1, height, width, 3) RGB 0-255; outputs by the names that they had."""
    writer = GraphWriter(half_weights=half_weights)
    made = {network.plan.image: writer.input("image", (1, size.height, size.width, 3))}
    for step in network.plan.steps:
        x = made[step.inputs[0]]
        if step.kind is Kind.ADD:
            made[step.result] = writer.add(x, made[step.inputs[1]])
            continue
        weights, bias = (_array(each) for each in network.of(step))
        activation = RELU if step.relu else NO_ACTIVATION
        if step.kind is Kind.DOUBLE:
            own = weights.transpose(1, 2, 3, 0)
            made[step.result] = writer.transpose_conv(x, own, bias, stride=2, activation=activation)
            continue
        padding = SAME
        if step.stride != 1:  # SAME would pad right and bottom only
            x, padding = writer.pad(x, top_left=step.padding, bottom_right=step.padding), VALID
        write = writer.depthwise if step.kind is Kind.DEPTHWISE else writer.conv
        own = weights.transpose(1, 2, 3, 0) if step.kind is Kind.DEPTHWISE else weights.transpose(0, 2, 3, 1)
        made[step.result] = write(x, own, bias, stride=step.stride, padding=padding, activation=activation)
    outputs = []
    for name, tensor in network.plan.outputs.items():
        said = made[tensor]
        if name in network.plan.scores:
            writer.rename(said, LOGITS if len(network.plan.scores) == 1 else f"{LOGITS}_{name}")
            said = writer.sigmoid(said)
        writer.rename(said, name)
        outputs.append(said)
    return writer.finish(outputs, description=description)


def _array(values: Tensor) -> F32:
    return np.ascontiguousarray(values.detach().numpy(), np.float32)
