"""dlib's face embedder (ResNet with 29 layers): the tfjs file of the face-api package as a TFLite graph."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as tfl
from numpy.typing import NDArray

from scripts.models.graph import NO_ACTIVATION, RELU, SAME, VALID, GraphWriter

SIDE = 150
DIMENSIONS = 128
MANIFEST = "model/face_recognition_model-weights_manifest.json"  # beside the weights; says where each array lies
MEAN_RGB = (122.782, 117.001, 104.298)
DIVISOR = 256.0  # dlib's; face-api divides by 255, which makes every distance 0.4 % longer
STAGES = (
    ("conv32", 3, None),
    ("conv64", 3, "conv64_down"),
    ("conv128", 2, "conv128_down"),
    ("conv256", 2, "conv256_down"),
)

F32 = NDArray[np.float32]
Arrays = Mapping[str, F32]
Network = Callable[[NDArray[np.uint8]], F32]


def arrays(weights: bytes, manifest: bytes) -> Arrays:
    """Every array of a tfjs weights file; some are stored as 8 bits with a scale and a least value."""
    found: dict[str, F32] = {}
    start = 0
    for group in json.loads(manifest):
        for entry in group["weights"]:
            packing = entry.get("quantization")
            dtype = np.dtype(np.uint8 if packing else np.float32)
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(weights, dtype, count, start).reshape(entry["shape"]).astype(np.float32)
            start += count * dtype.itemsize
            if packing:
                values = values * np.float32(packing["scale"]) + np.float32(packing["min"])
            found[entry["name"]] = values
    if start != len(weights):
        raise SystemExit(f"{MANIFEST} describes {start} of {len(weights)} bytes of weights")
    return found


class _ResidualWriter(GraphWriter):
    """The ops of a residual network without learned shortcuts."""

    def pool(self, x: int, code: str, *, side: int, stride: int) -> int:
        """AVERAGE_POOL_2D or MAX_POOL_2D of whole squares."""
        options = tfl.Pool2DOptionsT()
        options.strideH = options.strideW = stride
        options.filterHeight = options.filterWidth = side
        options.padding = VALID
        shape = (*self._convolved(x, side, stride, VALID), self.shape(x)[3])
        return self._op(code, [x], shape, options, "Pool2DOptions")

    def widen(self, x: int, shape: tuple[int, ...]) -> int:
        """PAD with zeros after the last row, column and channel up to a shape."""
        missing = [[0, there - here] for here, there in zip(self.shape(x), shape, strict=True)]
        if not np.any(missing):
            return x
        amounts = self._constant(np.asarray(missing, np.int32))
        return self._op("PAD", [x, amounts], shape, tfl.PadOptionsT(), "PadOptions")

    def relu(self, x: int) -> int:
        """RELU."""
        return self._op("RELU", [x], self.shape(x), None, "NONE")


def build(values: Arrays, *, half_weights: bool) -> bytes:
    """The float graph for RGB minus 128, (1, 150, 150, 3); its output `embedding` (1, 128) is not normalised."""
    writer = _ResidualWriter(half_weights=half_weights)
    x = writer.input("image", (1, SIDE, SIDE, 3))
    filters, bias = _folded(values, "conv32_down")
    filters = filters / np.float32(DIVISOR)
    shifted = bias + ((128.0 - np.array(MEAN_RGB)) * filters.sum(axis=(1, 2))).sum(axis=1)
    x = writer.conv(x, filters, shifted.astype(np.float32), stride=2, padding=VALID, activation=RELU)
    x = writer.pool(x, "MAX_POOL_2D", side=3, stride=2)
    for name, count, down in STAGES:
        if down is not None:
            x = _block(writer, values, x, down)
        for number in range(1, count + 1):
            x = _block(writer, values, x, f"{name}_{number}")
    x = _block(writer, values, x, "conv256_down_out")
    x = writer.pool(x, "AVERAGE_POOL_2D", side=writer.shape(x)[1], stride=1)
    dense = np.ascontiguousarray(values["fc"].T)[:, None, None, :]
    x = writer.conv(x, dense, np.zeros(DIMENSIONS, np.float32), stride=1, padding=VALID, activation=NO_ACTIVATION)
    x = writer.reshape(x, (1, DIMENSIONS))
    writer.rename(x, "embedding")
    return writer.finish([x], description="dlib face recognition ResNet v1")


def _block(writer: _ResidualWriter, values: Arrays, x: int, name: str) -> int:
    """Two convolutions beside the input itself, or where the first one halves the size, beside its 2x2 means."""
    halves = "down" in name
    filters, bias = _folded(values, f"{name}/conv1")
    stride, padding = (2, VALID) if halves else (1, SAME)
    y = writer.conv(x, filters, bias, stride=stride, padding=padding, activation=RELU)
    filters, bias = _folded(values, f"{name}/conv2")
    y = writer.conv(y, filters, bias, stride=1, padding=SAME, activation=NO_ACTIVATION)
    if halves:
        x = writer.pool(x, "AVERAGE_POOL_2D", side=2, stride=2)
        shape = tuple(max(sides) for sides in zip(writer.shape(x), writer.shape(y), strict=True))
        x, y = writer.widen(x, shape), writer.widen(y, shape)
    return writer.relu(writer.add(x, y))


def _folded(values: Arrays, name: str) -> tuple[F32, F32]:
    """Filters (out, height, width, in) and bias with the scale layer behind them multiplied in."""
    filters, bias = values[f"{name}/conv/filters"], values[f"{name}/conv/bias"]
    scale, offset = values[f"{name}/scale/weights"], values[f"{name}/scale/biases"]
    return np.ascontiguousarray((filters * scale).transpose(3, 0, 1, 2)), bias * scale + offset


def reference(values: Arrays) -> Network:
    """The network as face-api states it, in NumPy: a picture (150, 150, 3) RGB in, the embedding (128,) out."""

    def convolved(x: F32, name: str, stride: int, *, same: bool) -> F32:
        filters, bias = values[f"{name}/conv/filters"], values[f"{name}/conv/bias"]
        side = filters.shape[0]
        if same:
            x = np.pad(x, ((side // 2, side // 2), (side // 2, side // 2), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(0, 1))[::stride, ::stride]
        out = np.tensordot(windows, filters.transpose(2, 0, 1, 3), axes=3) + bias
        return out * values[f"{name}/scale/weights"] + values[f"{name}/scale/biases"]

    def block(x: F32, name: str) -> F32:
        halves = "down" in name
        y = np.maximum(convolved(x, f"{name}/conv1", 2 if halves else 1, same=not halves), 0)
        y = convolved(y, f"{name}/conv2", 1, same=True)
        if halves:
            rows, columns = x.shape[0] // 2, x.shape[1] // 2
            x = x[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, -1).mean(axis=(1, 3))
            shape = [max(sides) for sides in zip(x.shape, y.shape, strict=True)]
            x, y = (np.pad(z, [(0, there - here) for here, there in zip(z.shape, shape, strict=True)]) for z in (x, y))
        return np.maximum(x + y, 0)

    def run(picture: NDArray[np.uint8]) -> F32:
        x = (picture.astype(np.float32) - np.array(MEAN_RGB, np.float32)) / np.float32(DIVISOR)
        x = np.maximum(convolved(x, "conv32_down", 2, same=False), 0)
        x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(0, 1))[::2, ::2].max(axis=(3, 4))
        for name, count, down in STAGES:
            for part in ([down] if down else []) + [f"{name}_{number}" for number in range(1, count + 1)]:
                x = block(x, part)
        pooled: F32 = block(x, "conv256_down_out").mean(axis=(0, 1)) @ values["fc"]
        return pooled

    return run
