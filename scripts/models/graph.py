"""Write a TensorFlow Lite flatbuffer op by op, so that a build depends on no converter."""

from __future__ import annotations

from collections.abc import Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tfl
from numpy.typing import NDArray

RELU = tfl.ActivationFunctionType.RELU
RELU6 = tfl.ActivationFunctionType.RELU6
NO_ACTIVATION = tfl.ActivationFunctionType.NONE
SAME = tfl.Padding.SAME
VALID = tfl.Padding.VALID

_TENSOR_TYPES: dict[np.dtype[np.generic], int] = {
    np.dtype(np.float32): tfl.TensorType.FLOAT32,
    np.dtype(np.float16): tfl.TensorType.FLOAT16,
    np.dtype(np.int32): tfl.TensorType.INT32,
    np.dtype(np.int8): tfl.TensorType.INT8,
}


class GraphWriter:
    """Builds one NHWC graph; every method adds an op and returns the index of its output tensor."""

    def __init__(self, *, half_weights: bool, model: tfl.ModelT | None = None) -> None:
        """`model` is one to go on with; its main graph must be the only one."""
        self.scope = ""  # goes before the names of the tensors that follow
        self._half_weights = half_weights  # store weights as float16, computed in float32 all the same
        if model is not None:
            self._model, self._graph = model, model.subgraphs[0]
            codes = enumerate(model.operatorCodes)
            self._codes: dict[tuple[int, int], int] = {(code.builtinCode, code.version): i for i, code in codes}
            return
        self._model = tfl.ModelT()
        self._model.version = 3
        self._model.operatorCodes = []
        self._model.buffers = [tfl.BufferT()]
        self._graph = tfl.SubGraphT()
        self._graph.name = "main"
        self._graph.tensors = []
        self._graph.operators = []
        self._graph.inputs = []
        self._model.subgraphs = [self._graph]
        self._codes = {}

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor."""
        return tuple(self._graph.tensors[tensor].shape)

    def rename(self, tensor: int, name: str) -> None:
        """Give a tensor the name that the manifest promises."""
        self._graph.tensors[tensor].name = name

    def input(self, name: str, shape: Sequence[int]) -> int:
        """The float32 input of the graph."""
        index = self._tensor(name, shape, np.dtype(np.float32))
        self._graph.inputs.append(index)
        return index

    def conv(
        self,
        x: int,
        weights: NDArray[np.float32],
        bias: NDArray[np.float32],
        *,
        stride: int,
        padding: int,
        activation: int,
    ) -> int:
        """CONV_2D; weights are (out, height, width, in)."""
        options = tfl.Conv2DOptionsT()
        options.strideH = options.strideW = stride
        options.padding = padding
        options.fusedActivationFunction = activation
        shape = (*self._convolved(x, weights.shape[1], stride, padding), weights.shape[0])
        inputs = [x, self._parameter(weights), self._parameter(bias)]
        return self._op("CONV_2D", inputs, shape, options, "Conv2DOptions")

    def depthwise(
        self,
        x: int,
        weights: NDArray[np.float32],
        bias: NDArray[np.float32],
        *,
        stride: int,
        padding: int,
        activation: int,
    ) -> int:
        """DEPTHWISE_CONV_2D with multiplier 1; weights are (1, height, width, channels)."""
        options = tfl.DepthwiseConv2DOptionsT()
        options.strideH = options.strideW = stride
        options.padding = padding
        options.depthMultiplier = 1
        options.fusedActivationFunction = activation
        shape = (*self._convolved(x, weights.shape[1], stride, padding), weights.shape[3])
        inputs = [x, self._parameter(weights), self._parameter(bias)]
        return self._op("DEPTHWISE_CONV_2D", inputs, shape, options, "DepthwiseConv2DOptions")

    def transpose_conv(
        self, x: int, weights: NDArray[np.float32], bias: NDArray[np.float32], *, stride: int, activation: int
    ) -> int:
        """TRANSPOSE_CONV without overlap (kernel = stride); weights are (out, height, width, in)."""
        options = tfl.TransposeConvOptionsT()
        options.strideH = options.strideW = stride
        options.padding = VALID
        options.fusedActivationFunction = activation
        n, height, width, _ = self.shape(x)
        shape = (n, height * stride, width * stride, weights.shape[0])
        inputs = [self._constant(np.asarray(shape, np.int32)), self._parameter(weights), x, self._parameter(bias)]
        return self._op("TRANSPOSE_CONV", inputs, shape, options, "TransposeConvOptions", version=4)

    def pad(self, x: int, *, top_left: int, bottom_right: int) -> int:
        """PAD height and width with zeros."""
        n, height, width, channels = self.shape(x)
        both = [top_left, bottom_right]
        amounts = self._constant(np.asarray([[0, 0], both, both, [0, 0]], np.int32))
        shape = (n, height + sum(both), width + sum(both), channels)
        return self._op("PAD", [x, amounts], shape, tfl.PadOptionsT(), "PadOptions")

    def add(self, a: int, b: int, *, activation: int = NO_ACTIVATION) -> int:
        """ADD of two equal shapes."""
        options = tfl.AddOptionsT()
        options.fusedActivationFunction = activation
        return self._op("ADD", [a, b], self.shape(a), options, "AddOptions")

    def maximum(self, a: int, b: int) -> int:
        """MAXIMUM of two equal shapes."""
        options = tfl.MaximumMinimumOptionsT()
        return self._op("MAXIMUM", [a, b], self.shape(a), options, "MaximumMinimumOptions")

    def greatest(self, x: int) -> int:
        """MAX_POOL_2D over the whole picture."""
        options = tfl.Pool2DOptionsT()
        n, height, width, channels = self.shape(x)
        options.strideH, options.strideW = options.filterHeight, options.filterWidth = height, width
        options.padding = VALID
        return self._op("MAX_POOL_2D", [x], (n, 1, 1, channels), options, "Pool2DOptions")

    def double(self, x: int) -> int:
        """RESIZE_NEAREST_NEIGHBOR to twice the height and width."""
        n, height, width, channels = self.shape(x)
        size = self._constant(np.asarray([2 * height, 2 * width], np.int32))
        options = tfl.ResizeNearestNeighborOptionsT()
        shape = (n, 2 * height, 2 * width, channels)
        return self._op("RESIZE_NEAREST_NEIGHBOR", [x, size], shape, options, "ResizeNearestNeighborOptions")

    def depth_to_space(self, x: int) -> int:
        """DEPTH_TO_SPACE with blocks of 2x2: four channels become one of twice the height and width."""
        options = tfl.DepthToSpaceOptionsT()
        options.blockSize = 2
        n, height, width, channels = self.shape(x)
        return self._op(
            "DEPTH_TO_SPACE", [x], (n, 2 * height, 2 * width, channels // 4), options, "DepthToSpaceOptions"
        )

    def sigmoid(self, x: int) -> int:
        """LOGISTIC."""
        return self._op("LOGISTIC", [x], self.shape(x), None, "NONE")

    def leaky_relu(self, x: int, alpha: float) -> int:
        """LEAKY_RELU."""
        options = tfl.LeakyReluOptionsT()
        options.alpha = alpha
        return self._op("LEAKY_RELU", [x], self.shape(x), options, "LeakyReluOptions")

    def max_pool(self, x: int, *, kernel: int, stride: int) -> int:
        """MAX_POOL_2D without padding."""
        options = tfl.Pool2DOptionsT()
        options.strideH = options.strideW = stride
        options.filterHeight = options.filterWidth = kernel
        options.padding = VALID
        shape = (*self._convolved(x, kernel, stride, VALID), self.shape(x)[3])
        return self._op("MAX_POOL_2D", [x], shape, options, "Pool2DOptions")

    def resize_bilinear(self, x: int, *, height: int, width: int) -> int:
        """RESIZE_BILINEAR with half pixel centres."""
        options = tfl.ResizeBilinearOptionsT()
        options.halfPixelCenters = True
        n, _, _, channels = self.shape(x)
        inputs = [x, self._constant(np.asarray([height, width], np.int32))]
        return self._op(
            "RESIZE_BILINEAR", inputs, (n, height, width, channels), options, "ResizeBilinearOptions", version=3
        )

    def reshape(self, x: int, shape: Sequence[int]) -> int:
        """RESHAPE to a fixed shape."""
        options = tfl.ReshapeOptionsT()
        options.newShape = list(shape)
        return self._op("RESHAPE", [x, self._constant(np.asarray(shape, np.int32))], shape, options, "ReshapeOptions")

    def concat(self, parts: Sequence[int], *, axis: int) -> int:
        """CONCATENATION of at most four parts, which is what XNNPACK takes."""
        if len(parts) > 4:
            return self.concat([*parts[:-4], self.concat(parts[-4:], axis=axis)], axis=axis)
        options = tfl.ConcatenationOptionsT()
        options.axis = axis
        shape = list(self.shape(parts[0]))
        shape[axis] = sum(self.shape(part)[axis] for part in parts)
        return self._op("CONCATENATION", list(parts), shape, options, "ConcatenationOptions")

    def _constant(self, values: NDArray[np.generic]) -> int:
        """A constant tensor."""
        buffer = tfl.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        index = self._tensor(f"constant_{len(self._model.buffers) - 1}", values.shape, values.dtype)
        self._graph.tensors[index].buffer = len(self._model.buffers) - 1
        return index

    def finish(self, outputs: Sequence[int], *, description: str) -> bytes:
        """The flatbuffer, with one signature whose names are the tensors' names."""
        self._graph.outputs = list(outputs)
        self._model.description = description
        signature = tfl.SignatureDefT()
        signature.signatureKey = "serving_default"
        signature.inputs = [self._named(index) for index in self._graph.inputs]
        signature.outputs = [self._named(index) for index in outputs]
        self._model.signatureDefs = [signature]
        return pack(self._model)

    def _parameter(self, values: NDArray[np.float32]) -> int:
        # Both weights and bias: LiteRT 2.1 does not delegate an op that has only one of them in half precision.
        if not self._half_weights:
            return self._constant(values)
        return self._op(
            "DEQUANTIZE", [self._constant(values.astype(np.float16))], values.shape, tfl.DequantizeOptionsT(),
            "DequantizeOptions", version=3,
        )  # fmt: skip

    def _named(self, index: int) -> tfl.TensorMapT:
        entry = tfl.TensorMapT()
        entry.name = self._graph.tensors[index].name
        entry.tensorIndex = index
        return entry

    def _convolved(self, x: int, kernel: int, stride: int, padding: int) -> tuple[int, int, int]:
        n, height, width, _ = self.shape(x)
        if padding == VALID:
            height, width = height - kernel + 1, width - kernel + 1
        return n, -(-height // stride), -(-width // stride)

    def _tensor(self, name: str, shape: Sequence[int], dtype: np.dtype[np.generic]) -> int:
        tensor = tfl.TensorT()
        tensor.name = name
        tensor.shape = [int(side) for side in shape]
        tensor.type = _TENSOR_TYPES[dtype]
        tensor.buffer = 0
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _op(
        self, code: str, inputs: list[int], shape: Sequence[int], options: object, kind: str, *, version: int = 1
    ) -> int:
        op = tfl.OperatorT()
        op.opcodeIndex = self._code(getattr(tfl.BuiltinOperator, code), version)
        op.inputs = inputs
        output = self._tensor(f"{self.scope}{code.lower()}_{len(self._graph.operators)}", shape, np.dtype(np.float32))
        op.outputs = [output]
        op.builtinOptionsType = getattr(tfl.BuiltinOptions, kind)
        op.builtinOptions = options
        if code == "DEQUANTIZE":  # all of them first, or the XNNPACK delegate splits the graph at each
            self._graph.operators.insert(0, op)
        else:
            self._graph.operators.append(op)
        return output

    def _code(self, builtin: int, version: int) -> int:
        if (builtin, version) not in self._codes:
            code = tfl.OperatorCodeT()
            code.builtinCode = builtin
            code.deprecatedBuiltinCode = min(builtin, 127)
            code.version = version
            self._codes[builtin, version] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(code)
        return self._codes[builtin, version]


def read(data: bytes) -> tfl.ModelT:
    """A TFLite file as an object tree, with every constant inside it."""
    model = tfl.ModelT.InitFromObj(tfl.Model.GetRootAsModel(data, 0))
    for buffer in model.buffers:
        if buffer.offset > 1:  # kept behind the flatbuffer, where older runtimes do not look
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def constant(model: tfl.ModelT, tensor: int) -> NDArray[np.generic]:
    """The values of a constant of the main graph; weights in half precision come through a DEQUANTIZE, as float32."""
    graph = model.subgraphs[0]
    maker = next((op for op in graph.operators if int(op.outputs[0]) == tensor), None)
    if maker is not None:
        return constant(model, int(maker.inputs[0]))
    entry = graph.tensors[tensor]
    dtype = next(dtype for dtype, code in _TENSOR_TYPES.items() if code == entry.type)
    values = np.frombuffer(bytes(model.buffers[entry.buffer].data), dtype).reshape(entry.shape)
    return values.astype(np.float32) if dtype == np.float16 else values


def pack(model: tfl.ModelT) -> bytes:
    """An object tree as a TFLite file."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
