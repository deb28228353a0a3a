"""Takes a TFLite file of convolutions, in float32 or all of it in int8, apart into a network that can learn."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as tfl

from anonymizer.errors import DatasetError
from anonymizer.types import F32
from scripts.models.graph import constant, read
from scripts.train.slim.network import NO_BEND, Kind, Plan, SlimNetwork, Step

_OP = tfl.BuiltinOperator
_NAMES = {code: name for name, code in vars(_OP).items() if isinstance(code, int)}
_SLOPES = {tfl.ActivationFunctionType.RELU: 0.0, tfl.ActivationFunctionType.NONE: NO_BEND}
_PARTS = (_OP.DEQUANTIZE, _OP.PAD, _OP.LOGISTIC, _OP.RESHAPE, _OP.LEAKY_RELU)  # of the step before or behind


def open_network(file: bytes) -> SlimNetwork:
    """The network of a TFLite file in float32, with weights in half precision, or in int8; raises DatasetError.

    Of int8 the weights are what they stand for, rounded as they are; activations are not rounded any more.
    """
    if file[4:8] != b"TFL3":
        raise DatasetError("is no TFLite file")
    return _Reader(read(file)).network()


class _Reader:
    def __init__(self, model: tfl.ModelT) -> None:
        self._model = model
        self._graph = model.subgraphs[0]
        self._makers = {int(op.outputs[0]): op for op in self._graph.operators}
        self._weights: dict[int, tuple[F32, F32]] = {}

    def network(self) -> SlimNetwork:
        image = int(self._graph.inputs[0])
        if any(self._code(op) == _OP.QUANTIZE for op in self._graph.operators) or not self._takes_levels(image):
            raise DatasetError("computes partly in whole numbers, or in others than int8: name the file in float32")
        steps = tuple(self._step(op) for op in self._graph.operators if self._code(op) not in _PARTS)
        outputs: dict[str, int] = {}
        scores: set[str] = set()
        flat: set[str] = set()
        for at in map(int, self._graph.outputs):
            name = self._graph.tensors[at].name.decode()
            for code, names in ((_OP.LOGISTIC, scores), (_OP.RESHAPE, flat)):
                if self._is_made_by(at, code):
                    names.add(name)
                    at = int(self._makers[at].inputs[0])
            outputs[name] = at
        known = {image, *(step.result for step in steps)}
        if not known.issuperset([*outputs.values(), *(tensor for step in steps for tensor in step.inputs)]):
            raise DatasetError(
                "computes with a constant, or pads, bends or reshapes where no convolution is, which is not known here"
            )
        return SlimNetwork(Plan(steps, image, outputs, frozenset(scores), frozenset(flat)), self._weights)

    def _step(self, op: tfl.OperatorT) -> Step:
        code, result, inputs = self._code(op), int(op.outputs[0]), tuple(map(int, op.inputs))
        if code in (_OP.ADD, _OP.CONCATENATION):
            if self._slope(op) != NO_BEND:
                raise DatasetError("has an activation behind a sum or a concatenation, which is not known here")
            return Step(Kind.ADD if code == _OP.ADD else Kind.CONCAT, result, inputs)
        if code == _OP.RESIZE_BILINEAR:
            return Step(Kind.RESIZE, result, inputs[:1], factor=self._factor(op))
        if code == _OP.MAX_POOL_2D:
            return Step(Kind.POOL, result, (self._pooled(op),), stride=2)
        if code not in (_OP.TRANSPOSE_CONV, _OP.CONV_2D, _OP.DEPTHWISE_CONV_2D):
            raise DatasetError(f"has the op {_NAMES[code]}, which is not known here")
        result, slope = self._bend(op)
        if code == _OP.TRANSPOSE_CONV:
            own, bias = self._constant(inputs[1]), self._constant(inputs[3])
            if own.shape[1:3] != (2, 2) or op.builtinOptions.strideH != 2:
                raise DatasetError("has a transposed convolution of other than 2x2 with stride 2")
            self._weights[result] = own.transpose(3, 0, 1, 2), bias
            return Step(Kind.DOUBLE, result, inputs[2:3], 2, slope=slope)
        own, bias = self._constant(inputs[1]), self._constant(inputs[2])
        is_deep = code == _OP.DEPTHWISE_CONV_2D
        self._weights[result] = own.transpose(3, 0, 1, 2) if is_deep else own.transpose(0, 3, 1, 2), bias
        source, padding = self._padding(op, *own.shape[1:3])
        kind = Kind.DEPTHWISE if is_deep else Kind.CONV
        return Step(kind, result, (source,), op.builtinOptions.strideH, padding, slope)

    def _padding(self, op: tfl.OperatorT, height: int, width: int) -> tuple[int, int]:
        """The tensor in front of a PAD, and how many zeros it gets on each side."""
        options, source = op.builtinOptions, int(op.inputs[0])
        is_same = options.padding == tfl.Padding.SAME
        padding = (height // 2 if options.strideH == 1 else -1) if is_same and height > 1 else 0
        if not is_same and self._is_made_by(source, _OP.PAD):
            source, before, behind = self._padded(source)
            # with stride 2, sides being even, the last zeros are not looked at
            may_lack = options.strideH == 2 and height == 2 * before + 1
            padding = before if behind == before or (may_lack and behind == before - 1) else -1
        is_plain = options.strideH == options.strideW and options.dilationHFactor == options.dilationWFactor == 1
        if height != width or not is_plain or padding < 0 or (options.strideH == 1 and padding != height // 2):
            raise DatasetError("has a convolution that is dilated, not square or unevenly padded, not known here")
        return source, padding

    def _padded(self, tensor: int) -> tuple[int, int, int]:
        """What a PAD pads, and the zeros above and to the left, below and to the right; -1 if they are not the same."""
        maker = self._makers[tensor]
        (top, bottom), (left, right) = self._constant(int(maker.inputs[1]))[1:3]
        is_alike = top == left and bottom == right
        return int(maker.inputs[0]), int(top) if is_alike else -1, int(bottom) if is_alike else -1

    def _pooled(self, op: tfl.OperatorT) -> int:
        options, source = op.builtinOptions, int(op.inputs[0])
        sides = {options.filterHeight, options.filterWidth, options.strideH + 1, options.strideW + 1}
        if sides == {3} and options.padding == tfl.Padding.VALID and self._is_made_by(source, _OP.PAD):
            inner, before, behind = self._padded(source)
            if (before, behind) == (1, 0):
                return inner
        raise DatasetError("has a pooling of other than 3x3 with stride 2 and zeros above and left, not known here")

    def _factor(self, op: tfl.OperatorT) -> float:
        before, behind = (self._graph.tensors[int(each)].shape[1:3] for each in (op.inputs[0], op.outputs[0]))
        factors = {float(new) / float(old) for old, new in zip(before, behind, strict=True)}
        if len(factors) != 1 or op.builtinOptions.alignCorners or not op.builtinOptions.halfPixelCenters:
            raise DatasetError("resizes to another form or from whole pixels, which is not known here")
        return factors.pop()

    def _bend(self, op: tfl.OperatorT) -> tuple[int, float]:
        """What a convolution makes once it is bent, and the slope of that; a leaky ReLU is an op of its own."""
        result, slope = int(op.outputs[0]), self._slope(op)
        readers = [each for each in self._graph.operators if result in each.inputs]
        if slope != NO_BEND or [self._code(each) for each in readers] != [_OP.LEAKY_RELU]:
            return result, slope
        return int(readers[0].outputs[0]), float(readers[0].builtinOptions.alpha)

    def _slope(self, op: tfl.OperatorT) -> float:
        activation = op.builtinOptions.fusedActivationFunction
        if activation not in _SLOPES:
            raise DatasetError("has another activation than ReLU, which is not known here")
        return _SLOPES[activation]

    def _is_made_by(self, tensor: int, code: int) -> bool:
        maker = self._makers.get(tensor)
        return maker is not None and self._code(maker) == code

    def _code(self, op: tfl.OperatorT) -> int:
        return int(self._model.operatorCodes[op.opcodeIndex].builtinCode)

    def _takes_levels(self, image: int) -> bool:
        """Whether the input is the levels of pixels, in float32 or shifted to int8."""
        entry = self._graph.tensors[image]
        is_whole = entry.type == tfl.TensorType.INT8 and list(entry.quantization.scale) == [1.0]
        return is_whole or bool(entry.type == tfl.TensorType.FLOAT32)

    def _constant(self, tensor: int) -> np.ndarray:
        """The values of a constant; of whole numbers what they stand for, if they stand for something."""
        values, quantization = constant(self._model, tensor), self._graph.tensors[tensor].quantization
        if quantization is None or quantization.scale is None or values.dtype == np.float32:
            return values
        shape = [1] * values.ndim
        shape[quantization.quantizedDimension] = len(quantization.scale)
        return values.astype(np.float32) * np.asarray(quantization.scale, np.float32).reshape(shape)
