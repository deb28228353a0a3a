"""What the network is to do better at each step: scores that tell how well the box fits, and boxes that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from scripts.train.assign import Labels, assign
from scripts.train.losses import focal, iou_and_giou
from scripts.train.network import Level, boxes, cells, flat
from scripts.train.picture import Picture

LEAST_QUALITY = 0.1  # of a cell that was given a label, however badly its box fits yet


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Pictures (B, 3, H, W) uint8 in channels-last memory, and their labels."""

    pictures: Tensor
    labels: Labels

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        labels = self.labels
        moved = (each.to(device) for each in (labels.picture, labels.boxes, labels.class_ids, labels.ignore))
        return Batch(self.pictures.to(device), Labels(*moved))


def collate(pictures: Sequence[Picture]) -> Batch:
    """A batch of canvases of one size."""
    images = torch.from_numpy(np.stack([picture.image for picture in pictures]))
    counts = torch.tensor([len(picture.boxes) for picture in pictures])
    return Batch(
        images.permute(0, 3, 1, 2),
        Labels(
            picture=torch.repeat_interleave(torch.arange(len(pictures)), counts),
            boxes=torch.from_numpy(np.concatenate([picture.boxes for picture in pictures]).astype(np.float32)),
            class_ids=torch.from_numpy(np.concatenate([picture.class_ids for picture in pictures])).long(),
            ignore=torch.from_numpy(np.concatenate([picture.ignore for picture in pictures])),
        ),
    )


def losses(network: nn.Module, batch: Batch, gamma: float) -> tuple[Tensor, Tensor]:
    """Score loss and box loss of a batch, each divided by what there was to find.

    The score that a cell learns is the IoU of its own box with its label.
    """
    return losses_of(network(batch.pictures.float()), batch.labels, gamma)


def losses_of(levels: Sequence[Level], labels: Labels, gamma: float) -> tuple[Tensor, Tensor]:
    """The same of what a network said of the batch's pictures."""
    logits, encodings = (each.float() for each in flat(levels))
    of_cells = cells(levels).float()
    pairs = assign(levels, logits.detach(), encodings.detach(), of_cells, labels)
    found = boxes(encodings[pairs.picture, pairs.cell], of_cells[pairs.cell])
    iou, giou = iou_and_giou(found, labels.boxes[pairs.label])
    quality = iou.detach().clamp(min=LEAST_QUALITY)
    targets = torch.zeros_like(logits)
    targets[pairs.picture, pairs.cell, labels.class_ids[pairs.label]] = quality
    weights = 1.0 - _ignored(of_cells, labels, len(logits))[..., None]
    weights[pairs.picture, pairs.cell] = 1.0
    total = quality.sum().clamp(min=1.0)
    score_loss = (focal(logits, targets, gamma=gamma) * weights).sum() / total
    return score_loss, (quality * (1 - giou)).sum() / total


def _ignored(of_cells: Tensor, labels: Labels, count: int) -> Tensor:
    """1 for the cells (B, N) that touch a box that is to be ignored with their inner half."""
    marks = torch.zeros(count, len(of_cells), device=of_cells.device)
    ignored = labels.boxes[labels.ignore]
    if len(ignored):
        x, y, half = of_cells[None, :, 0], of_cells[None, :, 1], of_cells[None, :, 2] / 2
        inside = (x > ignored[:, 0:1] - half) & (x < ignored[:, 2:3] + half)
        inside &= (y > ignored[:, 1:2] - half) & (y < ignored[:, 3:4] + half)
        marks.index_add_(0, labels.picture[labels.ignore], inside.float())
    return marks.clamp(max=1.0)
