"""A TFLite file for pictures of another form: its sizes written anew, its weights and ranges as they were.

A convolution does not care how large its picture is, but a TFLite file states the size of every tensor, and ops that
enlarge or reshape keep theirs as constants. All of them follow from the input's size: side / stride, and up to two
pixels of padding. So the numbers are replaced in place, without a library that knows the schema, which the older
runtime does not bring. Positions of fields are those of TensorFlow's schema.fbs, version 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from anonymizer.errors import ModelError
from anonymizer.types import Size

STRIDES_PX = (1, 2, 4, 8, 16, 32, 64)
MOST_PADDING_PX = 2
SHAPED = {67: 0, 23: 1, 97: 1, 22: 1}  # TRANSPOSE_CONV, RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR, RESHAPE: which input
_MODEL_CODES, _MODEL_GRAPHS, _MODEL_BUFFERS = 1, 2, 4
_GRAPH_TENSORS, _GRAPH_INPUTS, _GRAPH_OPERATORS = 0, 1, 3
_TENSOR_SHAPE, _TENSOR_BUFFER = 0, 2
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 0, 1, 2
_OPERATOR_OPTIONS = 4
_DEQUANTIZE, _RESHAPE, _RESHAPE_SHAPE = 6, 22, 0
_CODE_OLD, _CODE = 0, 3


def reformed(file: bytes, size: Size) -> bytes:
    """The same network for an input of `size`, whose sides are multiples of its strides; raises ModelError."""
    if file[4:8] != b"TFL3":
        raise ModelError("is no TFLite file")
    try:
        return _Reform(file, size).file()
    except (struct.error, IndexError, ValueError) as error:
        raise ModelError(f"is no TFLite file of one graph for one picture: {error}") from error


@dataclass(frozen=True, slots=True)
class _Vector:
    """Numbers of 32 bits inside the file."""

    start: int
    numbers: tuple[int, ...]


class _Reform:
    def __init__(self, file: bytes, size: Size) -> None:
        self._file = bytearray(file)
        self._new = size
        model = self._follow(0)
        self._codes = [self._code_of(each) for each in self._tables(model, _MODEL_CODES)]
        self._buffers = list(self._tables(model, _MODEL_BUFFERS))
        (graph,) = self._tables(model, _MODEL_GRAPHS)
        self._tensors = list(self._tables(graph, _GRAPH_TENSORS))
        self._operators = list(self._tables(graph, _GRAPH_OPERATORS))
        (image,) = self._vector(graph, _GRAPH_INPUTS).numbers
        _, height, width, _ = self._vector(self._tensors[image], _TENSOR_SHAPE).numbers
        self._old = Size(width, height)

    def file(self) -> bytes:
        stored = {at for at, tensor in enumerate(self._tensors) if self._values(self._buffer_of(tensor)) is not None}
        for operator in self._operators:  # weights in half precision are a constant, too
            is_unpacking = self._codes[self._number(operator, _OPERATOR_CODE)] == _DEQUANTIZE
            if is_unpacking and stored.issuperset(self._vector(operator, _OPERATOR_INPUTS).numbers):
                stored.update(self._vector(operator, _OPERATOR_OUTPUTS).numbers)
        shapes = [self._vector(tensor, _TENSOR_SHAPE) for at, tensor in enumerate(self._tensors) if at not in stored]
        changed = {vector.start: self._changed(vector.numbers) for vector in (*shapes, *self._sizes())}
        for start, numbers in changed.items():
            struct.pack_into(f"<{len(numbers)}i", self._file, start, *numbers)
        return bytes(self._file)

    def _sizes(self) -> Iterator[_Vector]:
        """The constants that hold sizes."""
        shaped: set[int] = set()
        others: set[int] = set()
        for operator in self._operators:
            code = self._codes[self._number(operator, _OPERATOR_CODE)]
            inputs = self._vector(operator, _OPERATOR_INPUTS).numbers
            for at, tensor in enumerate(inputs):
                (shaped if SHAPED.get(code) == at else others).add(self._buffer_of(self._tensors[tensor]))
            options = self._field(operator, _OPERATOR_OPTIONS)
            if code == _RESHAPE and options is not None:  # which says the same again
                yield self._vector(self._follow(options), _RESHAPE_SHAPE)
        for buffer in shaped:
            values = self._values(buffer)
            if values is None or buffer in others:
                raise ModelError("computes its sizes, so they cannot be changed")
            yield self._numbers(values.start, (values.stop - values.start) // 4)

    def _changed(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """A shape or a size for the new input."""
        if len(numbers) == 2:
            return self._sides(*numbers)
        if len(numbers) == 4 and numbers[0] == 1:
            return 1, *self._sides(*numbers[1:3]), numbers[3]
        if len(numbers) == 3 and numbers[0] == 1:
            return 1, self._cells(numbers[1]), numbers[2]
        raise ModelError(f"has a tensor of shape {tuple(numbers)}, which is not known here")

    def _sides(self, height: int, width: int) -> tuple[int, int]:
        for stride in STRIDES_PX:
            padding = height - self._old.height // stride
            if 0 <= padding <= MOST_PADDING_PX and padding == width - self._old.width // stride:
                self._check(stride)
                return self._new.height // stride + padding, self._new.width // stride + padding
        raise ModelError(f"has a map of {width}x{height}, which does not follow from its input of {self._old}")

    def _cells(self, count: int) -> int:
        for stride in STRIDES_PX:
            if count == (self._old.height // stride) * (self._old.width // stride):
                self._check(stride)
                return (self._new.height // stride) * (self._new.width // stride)
        raise ModelError(f"has a row of {count} cells, which does not follow from its input of {self._old}")

    def _check(self, stride: int) -> None:
        sides = (self._old.width, self._old.height, self._new.width, self._new.height)
        if any(side % stride for side in sides):
            raise ModelError(f"has maps at a stride of {stride} px, of which {self._new} is no multiple")

    def _buffer_of(self, tensor: int) -> int:
        return self._number(tensor, _TENSOR_BUFFER)

    def _values(self, buffer: int) -> slice | None:
        """Where the bytes of a constant are; None of what is computed."""
        place = self._field(self._buffers[buffer], 0)
        if place is None:
            return None
        start = self._follow(place) + 4
        return slice(start, start + self._u32(start - 4))

    def _code_of(self, table: int) -> int:
        old = self._field(table, _CODE_OLD)
        return max(self._number(table, _CODE), 0 if old is None else self._file[old])

    # FlatBuffers: a table begins with the distance back to its list of fields; 0 there means that one is left out

    def _field(self, table: int, number: int) -> int | None:
        fields = table - struct.unpack_from("<i", self._file, table)[0]
        (length,) = struct.unpack_from("<H", self._file, fields)
        at = 4 + 2 * number
        offset = struct.unpack_from("<H", self._file, fields + at)[0] if at < length else 0
        return table + offset if offset else None

    def _number(self, table: int, field: int) -> int:
        place = self._field(table, field)
        return 0 if place is None else self._u32(place)

    def _vector(self, table: int, field: int) -> _Vector:
        place = self._field(table, field)
        if place is None:
            return _Vector(0, ())
        start = self._follow(place) + 4
        return self._numbers(start, self._u32(start - 4))

    def _numbers(self, start: int, count: int) -> _Vector:
        return _Vector(start, struct.unpack_from(f"<{count}i", self._file, start))

    def _tables(self, table: int, field: int) -> Iterator[int]:
        vector = self._vector(table, field)
        for at in range(len(vector.numbers)):
            yield self._follow(vector.start + 4 * at)

    def _follow(self, place: int) -> int:
        return place + self._u32(place)

    def _u32(self, place: int) -> int:
        number: int = struct.unpack_from("<I", self._file, place)[0]
        return number
