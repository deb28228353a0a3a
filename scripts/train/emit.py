"""Writes a trained network as a TensorFlow Lite graph, op by op: batch norm folded in, 1/255 in the stem, NHWC."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from anonymizer.types import Size
from scripts.models.graph import NO_ACTIVATION, RELU, SAME, GraphWriter
from scripts.train.backbones import PublishedBackbone
from scripts.train.network import Backbone, Detector, Separable
from scripts.train.networks import Network
from scripts.train.pooled import POOLED_BEFORE, PooledDetector, Unit
from scripts.train.presence.graph import conv_unit, residual
from scripts.train.presence.network import ConvUnit, InvertedResidual

F32 = NDArray[np.float32]


def emit(network: Network, size: Size, *, description: str) -> bytes:
    """A float32 TFLite file: input `image` (1, height, width, 3) RGB 0-255, outputs of the family `anchorfree`."""
    writer = GraphWriter(half_weights=False)
    x = writer.input("image", (1, size.height, size.width, 3))
    says = _pooled(writer, x, network) if isinstance(network, PooledDetector) else _plain(writer, x, network)
    outputs = []
    for stride_px, logits, encodings in says:
        score = writer.sigmoid(logits)
        writer.rename(score, f"score_{stride_px}")
        writer.rename(encodings, f"box_{stride_px}")
        outputs += [score, encodings]
    return writer.finish(outputs, description=description)


def _plain(writer: GraphWriter, x: int, network: Detector) -> Iterator[tuple[int, int, int]]:
    """Stride, logits and encodings of each level, from the coarsest one down."""
    maps = _backbone(writer, x, network.backbone)
    strides = network.architecture.strides_px
    above: int | None = None
    for at in range(len(strides) - 1, -1, -1):
        x = _convolution(writer, maps[at - len(strides)], network.laterals[at], None)
        if above is not None:
            x = writer.add(x, writer.double(above))
        above = _separable(writer, x, network.smooth[at])
        logits = _convolution(writer, _separable(writer, above, network.head.class_branch), network.head.score, None)
        encodings = _convolution(writer, _separable(writer, above, network.head.box_branch), network.head.box, None)
        yield strides[at], logits, encodings


def _backbone(writer: GraphWriter, x: int, backbone: Backbone) -> list[int]:
    """The map of each stage."""
    if isinstance(backbone, PublishedBackbone):
        for unit in backbone.stem:
            x = _published(writer, x, unit)
        each = _published
    else:
        convolution, norm, _ = backbone.stem
        x = _convolution(writer, x, convolution, norm, gain=1 / 255)
        each = _separable
    maps = []
    for stage in backbone.stages:
        for unit in stage:
            x = each(writer, x, unit)
        maps.append(x)
    return maps


def _published(writer: GraphWriter, x: int, unit: ConvUnit | InvertedResidual) -> int:
    return residual(writer, x, unit) if isinstance(unit, InvertedResidual) else conv_unit(writer, x, unit)


def _pooled(writer: GraphWriter, x: int, network: PooledDetector) -> Iterator[tuple[int, int, int]]:
    """The same of a pooled network."""
    x = _convolution(writer, x, network.stem, None, gain=1 / 255, relu=True)
    maps = []
    for at, stage in enumerate(network.stages):
        x = writer.max_pool(x, kernel=2, stride=2) if at in POOLED_BEFORE else x
        for unit in stage:
            x = _unit(writer, x, unit)
        maps.append(x)
    strides = network.architecture.strides_px
    above: int | None = None
    for at in range(len(strides) - 1, -1, -1):
        x = maps[at - len(strides)]
        if above is not None:
            x = writer.add(x, writer.double(above))
        above = _unit(writer, x, network.laterals[at])
        head, more = network.heads[at], _unit(writer, above, network.branch)
        logits = _convolution(writer, _unit(writer, above, head.hints), head.weigh, None)
        logits = writer.add(logits, _convolution(writer, more, network.score, None))
        encodings = writer.add(_unit(writer, above, head.box), _convolution(writer, more, network.box, None))
        yield strides[at], logits, encodings


def _unit(writer: GraphWriter, x: int, unit: Unit) -> int:
    x = _convolution(writer, x, unit[0], None)
    depthwise = unit[1]
    weights = depthwise.weight.detach().permute(1, 2, 3, 0).contiguous().numpy()
    activation = RELU if len(unit) > 2 else NO_ACTIVATION
    bias = depthwise.bias.detach().numpy()
    return writer.depthwise(x, weights, bias, stride=1, padding=SAME, activation=activation)


def _separable(writer: GraphWriter, x: int, unit: Separable) -> int:
    depthwise, pointwise, norm, _ = unit
    weights = depthwise.weight.detach().permute(1, 2, 3, 0).contiguous().numpy()
    bias = np.zeros(weights.shape[3], np.float32)
    x = writer.depthwise(x, weights, bias, stride=depthwise.stride[0], padding=SAME, activation=NO_ACTIVATION)
    return _convolution(writer, x, pointwise, norm)


def _convolution(
    writer: GraphWriter,
    x: int,
    convolution: nn.Conv2d,
    norm: nn.BatchNorm2d | None,
    *,
    gain: float = 1.0,
    relu: bool = False,
) -> int:
    """With a batch norm, which is folded in, a ReLU follows, or if told; the input is multiplied by `gain`."""
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
        activation=RELU if relu or norm is not None else NO_ACTIVATION,
    )
