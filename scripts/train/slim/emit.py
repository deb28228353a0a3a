"""Writes a network back as a TFLite file, for one size of input."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from anonymizer.types import F32, Size
from scripts.models.graph import NO_ACTIVATION, RELU, SAME, VALID, GraphWriter
from scripts.train.slim.network import Kind, SlimNetwork, Step

LOGITS = "logits"  # name of what goes into a sigmoid


def emit(network: SlimNetwork, size: Size, *, description: str, half_weights: bool) -> bytes:
    """Input `image` (1, height, width, 3), as of the file that it was; outputs by the names that they had."""
    writer = GraphWriter(half_weights=half_weights)
    made = {network.plan.image: writer.input("image", (1, size.height, size.width, 3))}
    for step in network.plan.steps:
        made[step.result] = _write(writer, network, step, [made[tensor] for tensor in step.inputs])
    outputs = []
    for name, tensor in network.plan.outputs.items():
        said = made[tensor]
        if name in network.plan.flat:
            _, height, width, channels = writer.shape(said)
            said = writer.reshape(said, (1, height * width, channels))
        if name in network.plan.scores:
            writer.rename(said, LOGITS if len(network.plan.scores) == 1 else f"{LOGITS}_{name}")
            said = writer.sigmoid(said)
        writer.rename(said, name)
        outputs.append(said)
    return writer.finish(outputs, description=description)


def _write(writer: GraphWriter, network: SlimNetwork, step: Step, inputs: list[int]) -> int:
    x = inputs[0]
    if step.kind is Kind.ADD:
        return writer.add(x, inputs[1])
    if step.kind is Kind.CONCAT:
        return writer.concat(inputs, axis=3)
    if step.kind is Kind.POOL:
        return writer.max_pool(writer.pad(x, top_left=1, bottom_right=0), kernel=3, stride=2)
    if step.kind is Kind.RESIZE:
        height, width = (round(side * step.factor) for side in writer.shape(x)[1:3])
        return writer.resize_bilinear(x, height=height, width=width)
    weights, bias = (_array(each) for each in network.of(step))
    activation = NO_ACTIVATION if step.slope else RELU
    if step.kind is Kind.DOUBLE:
        made = writer.transpose_conv(x, weights.transpose(1, 2, 3, 0), bias, stride=2, activation=activation)
    else:
        padding = SAME
        if step.stride != 1:  # SAME would pad right and bottom only
            x, padding = writer.pad(x, top_left=step.padding, bottom_right=step.padding), VALID
        write = writer.depthwise if step.kind is Kind.DEPTHWISE else writer.conv
        own = weights.transpose(1, 2, 3, 0) if step.kind is Kind.DEPTHWISE else weights.transpose(0, 2, 3, 1)
        made = write(x, own, bias, stride=step.stride, padding=padding, activation=activation)
    is_leaky = step.is_bent and step.slope != 0
    return writer.leaky_relu(made, step.slope) if is_leaky else made


def _array(values: Tensor) -> F32:
    return np.ascontiguousarray(values.detach().numpy(), np.float32)
