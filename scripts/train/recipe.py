"""How a network is trained: the numbers of one run, kept in every checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """Steps are batches; shares are of all steps."""

    architecture: str = "small"
    backbone: str = "own"
    classes: tuple[str, ...] = ("face",)
    steps: int = 16_000
    batch: int = 16
    canvas_px: int = 320  # side, a multiple of 32
    rate: float = 3e-3  # of AdamW at its peak
    warmup_steps: int = 300
    weight_decay: float = 0.02
    average: float = 0.9995  # what the averaged weights (EMA) keep at each step
    gamma: float = 2.0  # of the focal loss
    box_weight: float = 3.0
    most_gradient: float = 10.0  # norm
    frozen_share: float = 0.0  # the backbone learns nothing until then
    half_frozen_share: float = 0.0  # its lower half learns nothing until then
    teacher: str = ""  # name and checksum of the one whose score and box maps are learned
    teacher_zooms: tuple[int, ...] = (1,)  # how much the canvases are enlarged for it
    truth_weight: float = 0.5  # share of the labels in the loss, beside a teacher
    seed: int = 1

    def rate_at(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to a hundredth."""
        if step < self.warmup_steps:
            return self.rate * (step + 1) / self.warmup_steps
        share = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return self.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))

    def kept_at(self, step: int) -> float:
        """How much the averaged weights keep: less at first, when the network changes fast."""
        return min(self.average, (1 + step) / (10 + step))

    def frozen_at(self, step: int) -> float:
        """Share of the backbone, from its input on, that learns nothing."""
        if step < self.frozen_share * self.steps:
            return 1.0
        return 0.5 if step < self.half_frozen_share * self.steps else 0.0
