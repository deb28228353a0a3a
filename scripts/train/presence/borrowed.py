"""The frozen part of a zoo detector: its TFLite file replayed at another input size, up to where its heads begin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ai_edge_litert import schema_py_generated as tfl
from ai_edge_litert.interpreter import Interpreter

from anonymizer.errors import DatasetError
from anonymizer.types import F32
from scripts.models.graph import GraphWriter, constant, read

GREY = 128.0  # what NanoDet-g's input takes as zero
STRIDES_PX = (8, 16, 32)
_OP = tfl.BuiltinOperator
_NAMES = {code: name for name, code in vars(_OP).items() if isinstance(code, int)}


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What the file makes of one map: a convolution, leaky ReLU, and the score of a cell before its sigmoid."""

    map: int  # number of its tensor in the file
    weights: F32  # (channels, 3, 3, channels)
    bias: F32
    slope: float
    score_weights: F32  # (1, 1, 1, channels)
    score_bias: F32


class Borrowed:
    """A NanoDet-g file, float32 or with weights in half precision."""

    def __init__(self, file: bytes) -> None:
        """Raises DatasetError if the file is of another network."""
        if file[4:8] != b"TFL3":
            raise DatasetError("is no TFLite file")
        self.file = file
        self._model = read(file)
        self._graph = self._model.subgraphs[0]
        self._makers = {int(op.outputs[0]): op for op in self._graph.operators}
        outputs = {self._graph.tensors[at].name.decode(): int(at) for at in self._graph.outputs}
        try:
            self.heads = tuple(self._head(outputs[f"scores_{stride}"]) for stride in STRIDES_PX)
        except (KeyError, AttributeError) as error:
            raise DatasetError(f"is no NanoDet-g in float32, whose heads are known here: {error}") from None

    def _head(self, scores: int) -> Head:
        """Backwards from the output: sigmoid, reshape, score, leaky ReLU, convolution."""
        score = self._maker(self._maker(self._maker(scores).inputs[0]).inputs[0])
        relu = self._maker(score.inputs[0])
        convolution = self._maker(relu.inputs[0])
        slope = float(relu.builtinOptions.alpha)
        weights, bias = map(self._constant, convolution.inputs[1:3])
        score_weights, score_bias = map(self._constant, score.inputs[1:3])
        return Head(int(convolution.inputs[0]), weights, bias, slope, score_weights, score_bias)

    def replay(self, writer: GraphWriter, x: int) -> list[int]:
        """The maps (1, H / stride, W / stride, channels), finest first, of RGB - GREY; sides are multiples of 32."""
        made = {int(self._graph.inputs[0]): x}
        for head in self.heads:
            self._make(writer, head.map, made)
        return [made[head.map] for head in self.heads]

    def _make(self, writer: GraphWriter, tensor: int, made: dict[int, int]) -> int:
        if tensor in made:
            return made[tensor]
        op = self._maker(tensor)
        code, options = self._code(op), op.builtinOptions
        inputs = [int(at) for at in op.inputs]
        x, *more = [
            self._make(writer, at, made) for at in (inputs if code in (_OP.ADD, _OP.CONCATENATION) else inputs[:1])
        ]
        if code == _OP.CONV_2D:
            weights, bias = map(self._constant, inputs[1:3])
            activation = options.fusedActivationFunction
            y = writer.conv(x, weights, bias, stride=options.strideH, padding=options.padding, activation=activation)
        elif code == _OP.LEAKY_RELU:
            y = writer.leaky_relu(x, options.alpha)
        elif code == _OP.ADD:
            y = writer.add(x, *more)
        elif code == _OP.CONCATENATION:
            y = writer.concat([x, *more], axis=options.axis)
        elif code == _OP.PAD:
            top_left, bottom_right = self._constant(inputs[1])[1].tolist()
            y = writer.pad(x, top_left=top_left, bottom_right=bottom_right)
        elif code == _OP.MAX_POOL_2D:
            y = writer.max_pool(x, kernel=options.filterHeight, stride=options.strideH)
        elif code == _OP.RESIZE_BILINEAR:
            factor = self._graph.tensors[tensor].shape[1] / self._graph.tensors[inputs[0]].shape[1]
            _, rows, columns, _ = writer.shape(x)
            y = writer.resize_bilinear(x, height=round(rows * factor), width=round(columns * factor))
        else:
            raise DatasetError(f"has the op {_NAMES[code]}, which is not known here")
        made[tensor] = y
        return y

    def _code(self, op: tfl.OperatorT) -> int:
        return int(self._model.operatorCodes[op.opcodeIndex].builtinCode)

    def _maker(self, tensor: int) -> tfl.OperatorT:
        return self._makers[int(tensor)]

    def _constant(self, tensor: int) -> np.ndarray:
        return constant(self._model, int(tensor))


class Eyes:
    """The maps of pictures of one size, computed by the runtime of the product."""

    def __init__(self, trunk: Borrowed, width: int, height: int) -> None:
        writer = GraphWriter(half_weights=False)
        maps = trunk.replay(writer, writer.input("image", (1, height, width, 3)))
        for stride, at in zip(STRIDES_PX, maps, strict=True):
            writer.rename(at, f"map_{stride}")
        self._model = writer.finish(maps, description="frozen part of NanoDet-g")

    @cached_property
    def _interpreter(self) -> Interpreter:
        interpreter = Interpreter(model_content=self._model, num_threads=1)
        interpreter.allocate_tensors()
        return interpreter

    def see(self, picture: F32) -> list[F32]:
        """(H, W, 3) RGB 0-255 -> the maps (h, w, channels), finest first."""
        run = self._interpreter.get_signature_runner()
        maps = run(image=picture[None].astype(np.float32) - np.float32(GREY))
        return [maps[f"map_{stride}"][0] for stride in STRIDES_PX]
