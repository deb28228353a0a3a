"""Writes a trained network as a TensorFlow Lite graph, op by op: batch norm folded in, 1/255 in the stem, NHWC."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from anonymizer.types import Size
from scripts.train.network import Detector, Separable

sys.path.append(str(Path(__file__).parent.parent / "models"))  # whose modules know each other by bare names
from graph import NO_ACTIVATION, RELU, SAME, GraphWriter

F32 = NDArray[np.float32]


def emit(network: Detector, size: Size, *, description: str) -> bytes:
    """A float32 TFLite file: input `image` (1, height, width, 3) RGB 0-255, outputs of the family `anchorfree`."""
    writer = GraphWriter(half_weights=False)
    x = writer.input("image", (1, size.height, size.width, 3))
    convolution, norm, _ = network.backbone.stem
    x = _convolution(writer, x, convolution, norm, gain=1 / 255)
    maps = []
    for stage in network.backbone.stages:
        for unit in stage:
            x = _separable(writer, x, unit)
        maps.append(x)
    strides = network.architecture.strides_px
    above: int | None = None
    outputs = []
    for at in range(len(strides) - 1, -1, -1):
        x = _convolution(writer, maps[at - len(strides)], network.laterals[at], None)
        if above is not None:
            x = writer.add(x, writer.double(above))
        above = _separable(writer, x, network.smooth[at])
        score = _convolution(writer, _separable(writer, above, network.head.class_branch), network.head.score, None)
        score = writer.sigmoid(score)
        box = _convolution(writer, _separable(writer, above, network.head.box_branch), network.head.box, None)
        writer.rename(score, f"score_{strides[at]}")
        writer.rename(box, f"box_{strides[at]}")
        outputs += [score, box]
    return writer.finish(outputs, description=description)


def _separable(writer: GraphWriter, x: int, unit: Separable) -> int:
    depthwise, pointwise, norm, _ = unit
    weights = depthwise.weight.detach().permute(1, 2, 3, 0).contiguous().numpy()
    bias = np.zeros(weights.shape[3], np.float32)
    x = writer.depthwise(x, weights, bias, stride=depthwise.stride[0], padding=SAME, activation=NO_ACTIVATION)
    return _convolution(writer, x, pointwise, norm)


def _convolution(
    writer: GraphWriter, x: int, convolution: nn.Conv2d, norm: nn.BatchNorm2d | None, *, gain: float = 1.0
) -> int:
    """With a batch norm, which is folded in, a ReLU follows; the input is multiplied by `gain`."""
    with torch.no_grad():
        weights = convolution.weight * gain
        bias = torch.zeros(len(weights)) if convolution.bias is None else convolution.bias
        if norm is not None:
            factor = norm.weight / (norm.running_var + norm.eps).sqrt()
            weights, bias = weights * factor[:, None, None, None], norm.bias + (bias - norm.running_mean) * factor
        planes: F32 = weights.permute(0, 2, 3, 1).contiguous().numpy()
    return writer.conv(
        x,
        planes,
        bias.detach().numpy().astype(np.float32),
        stride=convolution.stride[0],
        padding=SAME,
        activation=NO_ACTIVATION if norm is None else RELU,
    )
