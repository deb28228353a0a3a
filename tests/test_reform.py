"""A TFLite file for another form of picture says what a network built for that form says, or is refused."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert.interpreter", reason="builds its networks with LiteRT's schema")

from ai_edge_litert.interpreter import Interpreter

from anonymizer.detect.reform import reformed
from anonymizer.errors import ModelError
from anonymizer.types import Size
from anonymizer.zoo import Zoo
from scripts.models.graph import RELU, SAME, VALID, GraphWriter, pack, read

OWN = Size(64, 96)


def build(size: Size, op: str = "", *, half_weights: bool = False) -> bytes:
    """A network with everything that holds a size: padding, grids up and down, a row of cells; `op` adds one more."""
    rng = np.random.default_rng(5)
    writer = GraphWriter(half_weights=half_weights)

    def conv(x: int, outs: int, *, stride: int = 1) -> int:
        own = rng.normal(0, 0.2, (outs, 3, 3, writer.shape(x)[3])).astype(np.float32)
        padding = SAME
        if stride == 2:
            x, padding = writer.pad(x, top_left=1, bottom_right=0), VALID
        return writer.conv(x, own, np.full(outs, 0.1, np.float32), stride=stride, padding=padding, activation=RELU)

    x = near = conv(writer.input("image", (1, size.height, size.width, 3)), 4, stride=2)
    x = conv(writer.max_pool(writer.pad(x, top_left=1, bottom_right=0), kernel=3, stride=2), 6)
    own = rng.normal(0, 0.2, (4, 2, 2, 6)).astype(np.float32)
    up = writer.transpose_conv(x, own, np.zeros(4, np.float32), stride=2, activation=RELU)
    _, height, width, _ = writer.shape(near)
    near = writer.concat([writer.add(near, up), writer.resize_bilinear(x, height=height, width=width)], axis=3)
    near = writer.concat([near, writer.double(x)], axis=3)
    row = writer.reshape(conv(near, 2), (1, height * width, 2))
    if op == "mean":
        row = writer.greatest(near)
    if op == "flat":
        row = writer.reshape(row, (height * width * 2,))
    if op == "odd":
        row = writer.resize_bilinear(near, height=11, width=5)
    if op == "odd row":
        row = writer.reshape(row, (1, height * width // 2, 4))
    writer.rename(row, "row")
    return writer.finish([row], description="toy")


def says(file: bytes, size: Size) -> np.ndarray:
    image = np.random.default_rng(1).random((1, size.height, size.width, 3), np.float32)
    run = Interpreter(model_content=file, num_threads=1).get_signature_runner()
    return np.array(run(image=image)["row"])


@pytest.mark.parametrize("half_weights", [False, True])
@pytest.mark.parametrize("size", [OWN, Size(96, 64), Size(32, 192), Size(160, 64)], ids=str)
def test_it_says_what_a_network_built_for_that_form_says(size: Size, half_weights: bool) -> None:
    file = reformed(build(OWN, half_weights=half_weights), size)
    expected = says(build(size, half_weights=half_weights), size)
    assert says(file, size).shape == expected.shape
    assert np.array_equal(says(file, size), expected)


def test_the_form_that_a_file_has_leaves_it_as_it_is() -> None:
    file = Zoo().detectors.spec("nanodet-g-int8").path.read_bytes()
    assert reformed(file, Size(480, 320)) == file
    assert reformed(reformed(file, Size(640, 384)), Size(480, 320)) == file


@pytest.mark.parametrize(
    ("file", "size", "why"),
    [
        (b"no model", OWN, "no TFLite file"),
        (build(OWN)[:600], OWN, "of one graph"),
        (build(OWN), Size(66, 96), "no multiple"),
        (build(OWN, "mean"), Size(96, 64), "stride of 64 px"),
        (build(OWN, "odd"), Size(96, 64), "map of 5x11"),
        (build(OWN, "odd row"), Size(96, 64), "row of"),
        (build(OWN, "flat"), Size(96, 64), "shape"),
    ],
    ids=["other bytes", "cut off", "uneven", "a mean", "a size of its own", "a row of its own", "flat"],
)
def test_what_it_cannot_follow_is_refused_by_reason(file: bytes, size: Size, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        reformed(file, size)


def test_a_size_that_is_computed_or_serves_as_something_else_is_refused() -> None:
    writer = GraphWriter(half_weights=False)
    x = writer.max_pool(writer.input("image", (1, 8, 8, 3)), kernel=2, stride=2)
    model = read(writer.finish([writer.sigmoid(writer.double(x))], description="toy"))
    assert reformed(pack(model), Size(16, 8)) != pack(model)
    _, double, sigmoid = model.subgraphs[0].operators
    sigmoid.inputs = [double.inputs[1]]
    with pytest.raises(ModelError, match="computes its sizes"):
        reformed(pack(model), Size(16, 8))


def test_a_tensor_without_a_shape_is_refused() -> None:
    model = read(build(OWN))
    model.subgraphs[0].tensors[-1].shape = None
    with pytest.raises(ModelError, match=r"shape \(\)"):
        reformed(pack(model), Size(96, 64))
