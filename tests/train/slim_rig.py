"""Small detectors with random weights, for narrowing and teaching in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anonymizer.types import Size
from scripts.models.graph import NO_ACTIVATION, RELU, SAME, VALID, GraphWriter
from scripts.train.canvas import CanvasMaker
from scripts.train.slim.fit import SlimRun
from scripts.train.slim.recipe import SlimRecipe, checksum

SIZE = Size(64, 64)


def tiny(op: str = "") -> bytes:
    """A detector of stride 4 in CenterFace's way, with random weights; `op` adds one that is not known."""
    rng = np.random.default_rng(3)
    writer = GraphWriter(half_weights=False)

    def weights(*shape: int) -> NDArray[np.float32]:
        fan = np.prod(shape[1:]) if shape[0] != 1 else 9
        return rng.normal(0, np.sqrt(2 / fan), shape).astype(np.float32)

    def conv(x: int, outs: int, kernel: int = 1, *, stride: int = 1, relu: bool = False) -> int:
        own = weights(outs, kernel, kernel, writer.shape(x)[3]) / np.float32(255 if writer.shape(x)[3] == 3 else 1)
        bias = rng.normal(0, 0.1, outs).astype(np.float32)
        padding = SAME
        if stride == 2:
            x, padding = writer.pad(x, top_left=0 if op == "uneven" else 1, bottom_right=1), VALID
        return writer.conv(x, own, bias, stride=stride, padding=padding, activation=RELU if relu else NO_ACTIVATION)

    def deep(x: int, *, stride: int = 1) -> int:
        channels, padding = writer.shape(x)[3], SAME
        if stride == 2:
            x, padding = writer.pad(x, top_left=1, bottom_right=1), VALID
        bias = rng.normal(0, 0.1, channels).astype(np.float32)
        return writer.depthwise(x, weights(1, 3, 3, channels), bias, stride=stride, padding=padding, activation=RELU)

    x = writer.input("image", (1, SIZE.height, SIZE.width, 3))
    x = conv(x, 16, 3, stride=2, relu=True)
    x = near = conv(deep(conv(conv(deep(x), 8), 64, relu=True), stride=2), 12)
    x = writer.add(x, conv(deep(conv(x, 48, relu=True)), 12))
    x = conv(conv(deep(conv(x, 48, relu=True), stride=2), 40), 12, relu=True)
    own, bias = weights(12, 2, 2, 12), np.zeros(12, np.float32)
    x = writer.transpose_conv(x, own, bias, stride=2, activation=RELU)
    x = conv(writer.add(x, conv(near, 12, relu=True)), 24, 3, relu=True)
    logits = conv(x, 1)
    heat, scale, offset = writer.sigmoid(logits), conv(x, 2), conv(x, 2)
    if op == "nearest":
        scale = writer.double(scale)
    if op == "leaky sum":
        scale = writer.leaky_relu(writer.add(scale, offset), 0.1)
    for tensor, name in ((logits, "logits"), (heat, "heat"), (scale, "scale"), (offset, "offset")):
        writer.rename(tensor, name)
    return writer.finish([scale] if op == "no score" else [heat, scale, offset], description="tiny")


def joined() -> bytes:
    """A detector in NanoDet's way: leaky ReLUs, pooling, concatenations, grids up and down, flat outputs."""
    rng = np.random.default_rng(4)
    writer = GraphWriter(half_weights=False)

    def conv(x: int, outs: int, kernel: int = 3, *, stride: int = 1, bends: bool = True) -> int:
        ins = writer.shape(x)[3]
        own = rng.normal(0, np.sqrt(2 / (ins * kernel**2)), (outs, kernel, kernel, ins)).astype(np.float32)
        own /= np.float32(255 if ins == 3 else 1)
        padding = SAME
        if stride == 2:
            x, padding = writer.pad(x, top_left=1, bottom_right=0), VALID
        bias = rng.normal(0, 0.1, outs).astype(np.float32)
        x = writer.conv(x, own, bias, stride=stride, padding=padding, activation=NO_ACTIVATION)
        return writer.leaky_relu(x, 0.1) if bends else x

    x = writer.input("image", (1, SIZE.height, SIZE.width, 3))
    x = writer.max_pool(writer.pad(conv(x, 16, stride=2), top_left=1, bottom_right=0), kernel=3, stride=2)
    x = first = conv(x, 24)
    x = half = conv(x, 16)
    x = conv(writer.concat([conv(x, 16), half], axis=3), 24)
    x = writer.concat([x, first], axis=3)
    near, far = conv(x, 16, 1, bends=False), conv(conv(x, 32, stride=2), 16, 1, bends=False)
    _, height, width, _ = writer.shape(near)
    near = writer.add(near, writer.resize_bilinear(far, height=height, width=width))
    x = conv(writer.add(far, writer.resize_bilinear(near, height=height // 2, width=width // 2)), 32)
    score, distances = (
        writer.reshape(conv(x, outs, 1, bends=False), (1, height * width // 4, outs)) for outs in (1, 32)
    )
    score = writer.sigmoid(score)
    writer.rename(score, "score")
    writer.rename(distances, "distances")
    return writer.finish([score, distances], description="joined")


def noise(size: Size = SIZE, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (size.height // 8, size.width // 8, 3), np.uint8)
    return small.repeat(8, 0).repeat(8, 1)


def batch(*pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()


def small_run(
    folder: Path, canvases: CanvasMaker, *, file: bytes | None = None, begin: Path | None = None, **changes: Any
) -> SlimRun:
    """A started run of few steps; `changes` of its recipe."""
    own = tiny() if file is None else file
    numbers = {"steps": 4, "batch": 2, "warmup_steps": 1, "average": 0.5, **changes}
    run = SlimRun(own, SlimRecipe(checksum(own), **numbers), canvases, folder, begin=begin)
    run.start()
    return run
