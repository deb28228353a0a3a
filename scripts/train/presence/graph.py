"""Writes the trained classifier as a TFLite graph: score and class activation map from one pass."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as tfl
from torch import nn

from anonymizer.types import F32
from scripts.models.graph import NO_ACTIVATION, SAME, VALID, GraphWriter
from scripts.train.network import Same
from scripts.train.presence.network import ConvUnit, InvertedResidual, PresenceNet
from scripts.train.presence.pyramid import PyramidNet

SCORE, MAP = "score", "map"  # the names by which the runtime knows the outputs of an attention model
_RELU6 = tfl.ActivationFunctionType.RELU6


def to_tflite(net: PresenceNet | PyramidNet, width: int, height: int) -> bytes:
    """Input `image` (1, height, width, 3) RGB less the net's mean; outputs `score` (1, 1) and `map` (1, h, w, 1).

    Two classes of a softmax are one sigmoid: a cell of the map is the logit of somebody less that of nobody, the score
    is the sigmoid of the map's mean or of its greatest cell. Normalisation layers are folded into the convolutions.
    Width and height are multiples of the net's stride.
    """
    writer = GraphWriter(half_weights=False)
    x = writer.input("image", (1, height, width, 3))
    if isinstance(net, PyramidNet):
        activation = _pyramid(writer, x, net)
        logit = writer.greatest(activation)
    else:
        activation = _single(writer, x, net)
        _, rows, columns, _ = writer.shape(activation)
        cells = writer.reshape(activation, (1, 1, 1, rows * columns))
        mean = np.full((1, 1, 1, rows * columns), 1 / (rows * columns), np.float32)
        logit = writer.conv(cells, mean, np.zeros(1, np.float32), stride=1, padding=VALID, activation=NO_ACTIVATION)
    writer.rename(activation, MAP)
    score = writer.reshape(writer.sigmoid(logit), (1, 1))
    writer.rename(score, SCORE)
    return writer.finish([activation, score], description="presence of people, with a class activation map")


def _pyramid(writer: GraphWriter, x: int, net: PyramidNet) -> int:
    """The map of the greatest level in each cell, from the coarsest one down."""
    greatest: int | None = None
    for branch, level in reversed(list(zip(net.branches, net.trunk.replay(writer, x), strict=True))):
        wide, relu, dense = branch
        y = writer.leaky_relu(_convolution(writer, level, wide, None, activation=NO_ACTIVATION), relu.negative_slope)
        y = _convolution(writer, y, dense, None, activation=NO_ACTIVATION)
        greatest = y if greatest is None else writer.maximum(y, writer.double(greatest))
    assert greatest is not None  # noqa: S101 - there are levels
    return greatest


def _single(writer: GraphWriter, x: int, net: PresenceNet) -> int:
    """The map of the only level."""
    for unit in net.features.eval():
        x = residual(writer, x, unit) if isinstance(unit, InvertedResidual) else conv_unit(writer, x, unit)
    weights, bias = _folded(net.head.dense, None)
    difference = np.array([[-1.0, 1.0]], np.float32)  # nobody, somebody
    kernel = np.ascontiguousarray((difference @ weights[:, :, 0, 0])[:, None, None, :])
    return writer.conv(x, kernel, difference @ bias, stride=1, padding=VALID, activation=NO_ACTIVATION)


def residual(writer: GraphWriter, x: int, unit: InvertedResidual) -> int:
    """The tensor that the unit makes of x."""
    *wide, narrow, normalisation = unit.conv
    y = x
    for each in wide:
        y = conv_unit(writer, y, each)
    y = _convolution(writer, y, narrow, normalisation, activation=NO_ACTIVATION)
    return writer.add(x, y) if unit.adds else y


def conv_unit(writer: GraphWriter, x: int, unit: ConvUnit) -> int:
    """The tensor that the unit makes of x."""
    return _convolution(writer, x, unit[0], unit[1], activation=_RELU6)


def _convolution(
    writer: GraphWriter, x: int, conv: nn.Conv2d, normalisation: nn.BatchNorm2d | None, *, activation: int
) -> int:
    weights, bias = _folded(conv, normalisation)
    stride, padding = conv.stride[0], SAME
    if stride > 1 and not isinstance(conv, Same):  # PyTorch pads both sides alike, SAME the lower one more
        x, padding = writer.pad(x, top_left=1, bottom_right=1), VALID
    if conv.groups > 1:
        kernel = weights.transpose(1, 2, 3, 0)
        return writer.depthwise(x, kernel, bias, stride=stride, padding=padding, activation=activation)
    kernel = weights.transpose(0, 2, 3, 1)
    return writer.conv(x, kernel, bias, stride=stride, padding=padding, activation=activation)


def _folded(conv: nn.Conv2d, normalisation: nn.BatchNorm2d | None) -> tuple[F32, F32]:
    weights = conv.weight.detach().double().numpy()
    bias = np.zeros(len(weights)) if conv.bias is None else conv.bias.detach().double().numpy()
    if normalisation is not None:
        mean, variance, gain, shift = (
            each.detach().double().numpy()
            for each in (
                normalisation.running_mean,
                normalisation.running_var,
                normalisation.weight,
                normalisation.bias,
            )
        )
        scale = gain / np.sqrt(variance + normalisation.eps)
        weights, bias = weights * scale[:, None, None, None], (bias - mean) * scale + shift
    return np.ascontiguousarray(weights.astype(np.float32)), bias.astype(np.float32)
