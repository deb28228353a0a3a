"""Damaged and hostile variants of a TFLite file, each made again by the name of its kind and a seed."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

from ai_edge_litert import schema_py_generated as schema

ABSURD = (-1, 0, 1, 7, 1 << 16, 1 << 24, 2**31 - 1, -(2**31))
WORDS = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x10000, 4)
BUILTINS = (3, 6, 9, 14, 22, 25, 34, 36, 39, 45, 53, 65, 83, 117, 118, 119, 129, 155, 9999)  # also WHILE, IF, CALL_ONCE
WEIGHTS_BYTES = 256  # from this size on a buffer holds weights
Table = Any  # of the generated schema, which carries no types


class Variant:
    """One copy of a file that is being spoilt in place; fields of tables are named by their place in the schema."""

    def __init__(self, data: bytes, seed: str) -> None:
        self.data = bytearray(data)
        self.rng = random.Random(seed)
        self.model = schema.Model.GetRootAs(self.data, 0)
        self.graph = self.model.Subgraphs(0)
        self.weights = list(self._weights())

    def tensor(self) -> Table:
        """Any one."""
        return self.graph.Tensors(self.rng.randrange(self.graph.TensorsLength()))

    def operator(self) -> Table:
        """Any one."""
        return self.graph.Operators(self.rng.randrange(self.graph.OperatorsLength()))

    def set_scalar(self, table: Table, field: int, layout: str, value: float) -> None:
        """Overwrite a number; one that is left at its default has no place in the file."""
        offset = table._tab.Offset(4 + 2 * field)
        if offset:
            struct.pack_into(layout, self.data, table._tab.Pos + offset, value)

    def vector(self, table: Table, field: int) -> tuple[int, int]:
        """Where the first item is and how many there are."""
        offset = table._tab.Offset(4 + 2 * field)
        return (table._tab.Vector(offset), table._tab.VectorLen(offset)) if offset else (0, 0)

    def set_item(self, table: Table, field: int, layout: str, value: float) -> None:
        """Overwrite any item of a vector of numbers."""
        start, count = self.vector(table, field)
        if count:
            struct.pack_into(layout, self.data, start + struct.calcsize(layout) * self.rng.randrange(count), value)

    def set_length(self, table: Table, field: int, count: int) -> None:
        """Pretend that a vector has so many items."""
        start, _ = self.vector(table, field)
        if start:
            struct.pack_into("<I", self.data, start - 4, count)

    def set_table(self, table: Table, field: int, at: int, source: int) -> None:
        """Let an item of a vector of tables be the same table as another item."""
        start, _ = self.vector(table, field)
        place, other = start + 4 * at, start + 4 * source
        target = other + struct.unpack_from("<I", self.data, other)[0]
        if target > place:
            struct.pack_into("<I", self.data, place, target - place)

    def outline(self) -> int:
        """A place in the file outside the weights."""
        while True:
            place = self.rng.randrange(len(self.data))
            inside = [end for start, end in self.weights if start <= place < end]
            if not inside:
                return place
            place = inside[0] + self.rng.randrange(4096)  # hop over: weights are most of the file
            if place < len(self.data) and not any(start <= place < end for start, end in self.weights):
                return place

    def _weights(self) -> Iterator[tuple[int, int]]:
        for index in range(self.model.BuffersLength()):
            start, count = self.vector(self.model.Buffers(index), 0)
            if count >= WEIGHTS_BYTES:
                yield start, start + count


def truncated(it: Variant) -> None:
    """Only the beginning."""
    size = len(it.data)
    del it.data[it.rng.choice((it.rng.randrange(64), it.rng.randrange(size), size - 1)) :]


def flipped(it: Variant) -> None:
    """Single bits, anywhere."""
    for _ in range(it.rng.randint(1, 64)):
        it.data[it.rng.randrange(len(it.data))] ^= 1 << it.rng.randrange(8)


def flipped_outline(it: Variant) -> None:
    """Single bits outside the weights."""
    for place in [it.outline() for _ in range(it.rng.randint(1, 8))]:
        it.data[place] ^= 1 << it.rng.randrange(8)


def huge_offsets(it: Variant) -> None:
    """Whole words outside the weights, where most are offsets and lengths."""
    for place in [it.outline() // 4 * 4 for _ in range(it.rng.randint(1, 4))]:
        it.data[place : place + 4] = it.rng.choice(WORDS).to_bytes(4, "little")


def noise(it: Variant) -> None:
    """A right beginning, the rest random."""
    cut = it.rng.choice((8, it.rng.randrange(8, len(it.data))))
    it.data[cut:] = it.rng.randbytes(len(it.data) - cut)


def wrong_shapes(it: Variant) -> None:
    """Sides of tensors that do not fit, are negative or enormous."""
    for _ in range(it.rng.randint(1, 3)):
        it.set_item(it.tensor(), 0, "<i", it.rng.choice(ABSURD))


def wrong_ranks(it: Variant) -> None:
    """Tensors with fewer sides than they need."""
    for _ in range(it.rng.randint(1, 3)):
        it.set_length(it.tensor(), 0, it.rng.randrange(4))


def wrong_input(it: Variant) -> None:
    """A picture of another shape."""
    picture = it.graph.Tensors(it.graph.Inputs(0))
    it.set_item(picture, 0, "<i", it.rng.choice((1, 3, 31, 33, 5000, 60_000, *ABSURD)))


def swapped_tensors(it: Variant) -> None:
    """Operations read and write the wrong ones, or some that are not there."""
    count = it.graph.TensorsLength()
    for _ in range(it.rng.randint(1, 4)):
        stranger = it.rng.choice((it.rng.randrange(count), count, *ABSURD))
        it.set_item(it.operator(), it.rng.choice((1, 2)), "<i", stranger)


def swapped_buffers(it: Variant) -> None:
    """Tensors with the weights of others, or of nobody."""
    count = it.model.BuffersLength()
    for _ in range(it.rng.randint(1, 4)):
        it.set_scalar(it.tensor(), 2, "<I", it.rng.choice((it.rng.randrange(count), count, 2**32 - 1)))


def wrong_weights(it: Variant) -> None:
    """Buffers that end too early, or say that they go on."""
    for _ in range(it.rng.randint(1, 4)):
        buffer = it.model.Buffers(it.rng.randrange(it.model.BuffersLength()))
        it.set_length(buffer, 0, it.rng.choice((0, 1, 3, 1 << 20, 2**31 - 1)))


def absurd_operations(it: Variant) -> None:
    """Codes that nobody knows, of other operations, or of versions to come."""
    for _ in range(it.rng.randint(1, 2)):
        code = it.model.OperatorCodes(it.rng.randrange(it.model.OperatorCodesLength()))
        builtin = it.rng.choice((*BUILTINS, it.rng.randrange(206)))
        it.set_scalar(code, 0, "<b", min(builtin, 127))
        it.set_scalar(code, 3, "<i", builtin)
        it.set_scalar(code, 2, "<i", it.rng.choice((1, 2, 1000, -1)))
    if it.rng.random() < 0.3:
        it.set_scalar(it.operator(), 0, "<I", it.rng.choice((0, 3, it.model.OperatorCodesLength(), 2**32 - 1)))


def absurd_options(it: Variant) -> None:
    """Strides, paddings and axes of no use, or those of another operation."""
    for _ in range(it.rng.randint(1, 4)):
        operator = it.operator()
        options = operator.BuiltinOptions()
        if options is None or it.rng.random() < 0.2:
            it.set_scalar(operator, 3, "<B", it.rng.randrange(127))
            continue
        table = schema.Conv2DOptions()
        table.Init(options.Bytes, options.Pos)
        it.set_scalar(table, it.rng.randrange(6), it.rng.choice(("<b", "<i")), it.rng.choice((-1, 0, 1, 2, 100)))


def wrong_types(it: Variant) -> None:
    """Floats that are called strings, and so on."""
    for _ in range(it.rng.randint(1, 3)):
        it.set_scalar(it.tensor(), 1, "<b", it.rng.randrange(20))


def wrong_quantisation(it: Variant) -> None:
    """Scales and zero points that are no numbers, too few or too many."""
    for _ in range(it.rng.randint(4, 40)):
        parameters = it.tensor().Quantization()
        if parameters is not None:
            it.set_item(parameters, 2, "<f", it.rng.choice((0.0, -1.0, 1e38, float("nan"), 0.1)))
            it.set_item(parameters, 3, "<q", it.rng.choice((0, -(2**63), 2**63 - 1, 300)))
            it.set_scalar(parameters, 6, "<i", it.rng.choice(ABSURD))
            if it.rng.random() < 0.2:
                it.set_length(parameters, it.rng.choice((2, 3)), it.rng.choice((0, 1)))


def wrong_ends(it: Variant) -> None:
    """Inputs and outputs of the graph that are others, too few, or not there."""
    field = it.rng.choice((1, 2))
    if it.rng.random() < 0.3:
        it.set_length(it.graph, field, it.rng.choice((0, 1)))
    it.set_item(it.graph, field, "<i", it.rng.choice((it.rng.randrange(it.graph.TensorsLength()), *ABSURD)))


def shuffled_operations(it: Variant) -> None:
    """Operations lost, doubled or in another order."""
    count = it.graph.OperatorsLength()
    if it.rng.random() < 0.3:
        it.set_length(it.graph, 3, it.rng.randrange(count))
    for _ in range(it.rng.randint(1, 8)):
        it.set_table(it.graph, 3, it.rng.randrange(count), it.rng.randrange(count))
    if it.rng.random() < 0.1:
        it.set_length(it.model, 2, 0)


KINDS: tuple[Callable[[Variant], None], ...] = (
    truncated,
    flipped,
    flipped_outline,
    huge_offsets,
    noise,
    wrong_shapes,
    wrong_ranks,
    wrong_input,
    swapped_tensors,
    swapped_buffers,
    wrong_weights,
    absurd_operations,
    absurd_options,
    wrong_types,
    wrong_quantisation,
    wrong_ends,
    shuffled_operations,
)


def variant(data: bytes, kind: Callable[[Variant], None], seed: int) -> bytes:
    """One damaged file; the same for the same kind and seed."""
    it = Variant(data, f"{kind.__name__} {seed}")
    kind(it)
    return bytes(it.data)
