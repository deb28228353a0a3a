"""A float32 TFLite file of convolutions as a network that learns, at any size of its input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as tfl
from torch import Tensor, nn
from torch.nn import functional

from anonymizer.errors import DatasetError
from anonymizer.types import F32
from scripts.models.graph import constant, read

_OP = tfl.BuiltinOperator
_NAMES = {code: name for name, code in vars(_OP).items() if isinstance(code, int)}
_RELU = tfl.ActivationFunctionType.RELU


class Kind(StrEnum):
    """What a step computes."""

    CONV = "conv"
    DEPTHWISE = "depthwise"
    DOUBLE = "double"  # transposed convolution, kernel 2, stride 2
    ADD = "add"


@dataclass(frozen=True, slots=True)
class Step:
    """One operation; a tensor goes by its number in the file, weights by that of the tensor that they make."""

    kind: Kind
    result: int
    inputs: tuple[int, ...]
    stride: int = 1
    padding: int = 0  # zeros on all four sides
    relu: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A file taken apart: its steps in order, and where pictures go in and answers come out."""

    steps: tuple[Step, ...]
    image: int
    outputs: Mapping[str, int]  # before a sigmoid, where there is one
    scores: frozenset[str]  # outputs that are sigmoids


class SlimNetwork(nn.Module):
    """The steps of a plan with weights that can be learned; layout (B, C, H, W)."""

    def __init__(self, plan: Plan, weights: Mapping[int, tuple[F32, F32]]) -> None:
        super().__init__()
        self.plan = plan
        self.weights = nn.ParameterDict()
        self.biases = nn.ParameterDict()
        for result, (own, bias) in weights.items():
            self.put(result, torch.from_numpy(own.copy()), torch.from_numpy(bias.copy()))

    def put(self, result: int, weights: Tensor, bias: Tensor) -> None:
        """Gives a step other weights, of any number of channels."""
        self.weights[str(result)] = nn.Parameter(weights)
        self.biases[str(result)] = nn.Parameter(bias)

    def of(self, step: Step) -> tuple[Tensor, Tensor]:
        """Weights and bias: (out, in, h, w), depthwise (channels, 1, h, w), DOUBLE (in, out, 2, 2)."""
        return self.weights[str(step.result)], self.biases[str(step.result)]

    def readers(self, tensor: int) -> list[Step]:
        """The steps that a tensor enters."""
        return [step for step in self.plan.steps if tensor in step.inputs]

    def forward(self, pictures: Tensor, wanted: Collection[int] = ()) -> dict[int, Tensor]:
        """RGB 0-255 (B, 3, H, W), sides multiples of 32, to the outputs and the wanted tensors by their numbers."""
        kept = {*wanted, *self.plan.outputs.values()}
        left = Counter(tensor for step in self.plan.steps for tensor in step.inputs)
        made = {self.plan.image: pictures}
        for step in self.plan.steps:
            made[step.result] = self._make(step, [made[tensor] for tensor in step.inputs])
            left.subtract(step.inputs)
            for tensor in step.inputs:
                if not left[tensor] and tensor not in kept:
                    made.pop(tensor, None)
        return {tensor: made[tensor] for tensor in kept}

    def _make(self, step: Step, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        if step.kind is Kind.ADD:
            return x + inputs[1]
        weights, bias = self.of(step)
        if step.kind is Kind.DOUBLE:
            y = functional.conv_transpose2d(x, weights, bias, stride=2)
        else:
            groups = x.shape[1] if step.kind is Kind.DEPTHWISE else 1
            y = functional.conv2d(x, weights, bias, stride=step.stride, padding=step.padding, groups=groups)
        return functional.relu(y) if step.relu else y

    def adopt(self, state: Mapping[str, Tensor]) -> None:
        """Takes over the weights of a narrower network of the same steps."""
        for step in self.plan.steps:
            if f"weights.{step.result}" in state:
                self.put(step.result, state[f"weights.{step.result}"], state[f"biases.{step.result}"])


def open_network(file: bytes) -> SlimNetwork:
    """The network of a TFLite file in float32, or with weights in half precision; raises DatasetError."""
    if file[4:8] != b"TFL3":
        raise DatasetError("is no TFLite file")
    return _Reader(read(file)).network()


class _Reader:
    def __init__(self, model: tfl.ModelT) -> None:
        self._model = model
        self._graph = model.subgraphs[0]
        self._makers = {int(op.outputs[0]): op for op in self._graph.operators}

    def network(self) -> SlimNetwork:
        if self._graph.tensors[int(self._graph.inputs[0])].type != tfl.TensorType.FLOAT32 or self._is_rounded():
            raise DatasetError("computes in whole numbers: name the file in float32")
        weights: dict[int, tuple[F32, F32]] = {}
        steps = tuple(self._steps(weights))
        known = {int(self._graph.inputs[0]), *(step.result for step in steps)}
        if not known.issuperset(tensor for step in steps for tensor in step.inputs):
            raise DatasetError(
                "computes with a constant, or pads where no convolution follows, which is not known here"
            )
        outputs, scores = {}, set()
        for at in map(int, self._graph.outputs):
            name = self._graph.tensors[at].name.decode()
            maker = self._makers.get(at)
            if maker is not None and self._code(maker) == _OP.LOGISTIC:
                scores.add(name)
                at = int(maker.inputs[0])
            outputs[name] = at
        return SlimNetwork(Plan(steps, int(self._graph.inputs[0]), outputs, frozenset(scores)), weights)

    def _is_rounded(self) -> bool:
        return any(self._code(op) == _OP.QUANTIZE for op in self._graph.operators)

    def _steps(self, weights: dict[int, tuple[F32, F32]]) -> Iterator[Step]:
        for op in self._graph.operators:
            code, result = self._code(op), int(op.outputs[0])
            if code in (_OP.DEQUANTIZE, _OP.PAD, _OP.LOGISTIC):
                continue  # part of the step behind or before
            if code == _OP.ADD:
                if self._relu(op):
                    raise DatasetError("has a ReLU behind a sum, which is not known here")
                yield Step(Kind.ADD, result, tuple(map(int, op.inputs)))
                continue
            if code == _OP.TRANSPOSE_CONV:
                own, bias = self._constant(op.inputs[1]), self._constant(op.inputs[3])
                if own.shape[1:3] != (2, 2) or op.builtinOptions.strideH != 2:
                    raise DatasetError("has a transposed convolution of other than 2x2 with stride 2")
                weights[result] = own.transpose(3, 0, 1, 2), bias
                yield Step(Kind.DOUBLE, result, (int(op.inputs[2]),), 2, relu=self._relu(op))
                continue
            if code not in (_OP.CONV_2D, _OP.DEPTHWISE_CONV_2D):
                raise DatasetError(f"has the op {_NAMES[code]}, which is not known here")
            own, bias = self._constant(op.inputs[1]), self._constant(op.inputs[2])
            is_deep = code == _OP.DEPTHWISE_CONV_2D
            weights[result] = own.transpose(3, 0, 1, 2) if is_deep else own.transpose(0, 3, 1, 2), bias
            source, padding = self._padding(op, *own.shape[1:3])
            yield Step(
                Kind.DEPTHWISE if is_deep else Kind.CONV,
                result,
                (source,),
                op.builtinOptions.strideH,
                padding,
                self._relu(op),
            )

    def _padding(self, op: tfl.OperatorT, height: int, width: int) -> tuple[int, int]:
        """The tensor in front of a PAD, and how many zeros it gets on each side."""
        options, source = op.builtinOptions, int(op.inputs[0])
        is_same = options.padding == tfl.Padding.SAME
        maker = self._makers.get(source)
        padding = (height // 2 if options.strideH == 1 else -1) if is_same and height > 1 else 0
        if maker is not None and self._code(maker) == _OP.PAD and not is_same:
            sides = {int(zeros) for zeros in self._constant(maker.inputs[1])[1:3].flat}
            source, padding = int(maker.inputs[0]), sides.pop() if len(sides) == 1 else -1
        is_plain = options.strideH == options.strideW and options.dilationHFactor == options.dilationWFactor == 1
        if height != width or not is_plain or padding < 0 or (options.strideH == 1 and padding != height // 2):
            raise DatasetError("has a convolution that is dilated, not square or unevenly padded, not known here")
        return source, padding

    def _relu(self, op: tfl.OperatorT) -> bool:
        activation = op.builtinOptions.fusedActivationFunction
        if activation not in (_RELU, tfl.ActivationFunctionType.NONE):
            raise DatasetError("has another activation than ReLU, which is not known here")
        return bool(activation == _RELU)

    def _code(self, op: tfl.OperatorT) -> int:
        return int(self._model.operatorCodes[op.opcodeIndex].builtinCode)

    def _constant(self, tensor: int) -> np.ndarray:
        return constant(self._model, int(tensor))
