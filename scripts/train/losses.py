"""The losses: focal loss, also on soft targets, and generalised IoU."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from anonymizer.errors import DatasetError


def focal(logits: Tensor, targets: Tensor, *, gamma: float) -> Tensor:
    """Cross-entropy of each element, weighted by |target - probability| ** gamma; targets 0-1 may be soft.

    With hard targets the focal loss (Lin et al. 2017, 1708.02002), with soft ones quality focal loss (Li et al. 2020,
    2006.04388); gamma 0 is plain cross-entropy.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if gamma == 0:
        return entropy
    return entropy * (targets - logits.sigmoid()).abs().pow(gamma)


def iou_and_giou(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of pairs of boxes (N, 4), x1 y1 x2 y2 (Rezatofighi et al. 2019, 1902.09630)."""
    shared = (torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])).clamp(min=0)
    around = torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(first[:, :2], second[:, :2])
    areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (first, second)]
    both = shared.prod(1)
    union = (areas[0] + areas[1] - both).clamp(min=1e-6)
    hull = around.prod(1).clamp(min=1e-6)
    iou = both / union
    return iou, iou - (hull - union) / hull


def check_finite(gradient: Tensor, step: int, folder: Path) -> None:
    """Raises DatasetError if the gradient's norm is no number, before it makes all weights none."""
    if not math.isfinite(gradient.item()):
        raise DatasetError(
            f"{folder}: at step {step} the losses are no numbers any more; what was saved before is kept: begin again "
            "in another folder with a lower --rate"
        )
