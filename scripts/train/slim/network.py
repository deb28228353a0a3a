"""A network of convolutions as steps whose weights can be learned, and whose channels can be fewer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional

from anonymizer.types import F32

NO_BEND = 1.0  # slope of a step without activation


class Kind(StrEnum):
    """What a step computes."""

    CONV = "conv"
    DEPTHWISE = "depthwise"
    DOUBLE = "double"  # transposed convolution, kernel 2, stride 2
    ADD = "add"
    CONCAT = "concat"
    POOL = "pool"  # the greatest of 3x3, stride 2, zeros above and to the left
    RESIZE = "resize"  # bilinear, from half pixel centres


@dataclass(frozen=True, slots=True)
class Step:
    """One operation; a tensor goes by its number in the file, weights by that of the tensor that they make."""

    kind: Kind
    result: int
    inputs: tuple[int, ...]
    stride: int = 1
    padding: int = 0  # zeros on all four sides
    slope: float = NO_BEND  # of what is negative: 0 behind a ReLU, more behind a leaky one
    factor: float = 1.0  # of a RESIZE

    @property
    def is_bent(self) -> bool:
        """Whether an activation follows."""
        return self.slope != NO_BEND


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A file taken apart: its steps in order, and where pictures go in and answers come out."""

    steps: tuple[Step, ...]
    image: int
    outputs: Mapping[str, int]  # before a sigmoid, where there is one
    scores: frozenset[str]  # outputs that are sigmoids
    flat: frozenset[str] = frozenset()  # outputs that put cells in one row


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

    def parts(self, tensor: int) -> list[int]:
        """The tensors that one is joined from, or itself."""
        maker = next((step for step in self.plan.steps if step.result == tensor), None)
        if maker is None or maker.kind is not Kind.CONCAT:
            return [tensor]
        return [part for each in maker.inputs for part in self.parts(each)]

    def width(self, tensor: int) -> int:
        """How many channels a tensor has."""
        maker = next(step for step in self.plan.steps if step.result == tensor)
        if maker.kind is Kind.CONCAT:
            return sum(map(self.width, maker.inputs))
        if maker.kind in (Kind.ADD, Kind.POOL, Kind.RESIZE):
            return self.width(maker.inputs[0])
        return len(self.of(maker)[1])

    def place(self, reader: Step, tensor: int) -> slice:
        """Which channels of what a step reads are a tensor's; it may come through concatenations."""
        parts = self.parts(reader.inputs[0])
        first = sum(map(self.width, parts[: parts.index(tensor)]))
        return slice(first, first + self.width(tensor))

    def forward(self, pictures: Tensor, wanted: Collection[int] = ()) -> dict[int, Tensor]:
        """Pictures (B, 3, H, W), sides multiples of 32, to the outputs and the wanted tensors by their numbers."""
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
        if step.kind is Kind.CONCAT:
            return torch.cat(inputs, 1)
        if step.kind is Kind.POOL:
            return functional.max_pool2d(functional.pad(x, (1, 0, 1, 0)), 3, 2)
        if step.kind is Kind.RESIZE:
            return functional.interpolate(x, scale_factor=step.factor, mode="bilinear", align_corners=False)
        weights, bias = self.of(step)
        if step.kind is Kind.DOUBLE:
            y = functional.conv_transpose2d(x, weights, bias, stride=2)
        else:
            groups = x.shape[1] if step.kind is Kind.DEPTHWISE else 1
            y = functional.conv2d(x, weights, bias, stride=step.stride, padding=step.padding, groups=groups)
        if not step.is_bent:
            return y
        return functional.leaky_relu(y, step.slope) if step.slope else functional.relu(y)

    def adopt(self, state: Mapping[str, Tensor]) -> None:
        """Takes over the weights of a narrower network of the same steps."""
        for step in self.plan.steps:
            if f"weights.{step.result}" in state:
                self.put(step.result, state[f"weights.{step.result}"], state[f"biases.{step.result}"])
