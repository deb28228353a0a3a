"""Which cells learn which label: of those near its centre, the ones that already fit it best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.train.losses import iou_and_giou
from scripts.train.network import Level, boxes

REACH = 1  # cells around the one that holds the centre
LEAST_STRIDES, MOST_STRIDES = 1.5, 6.0  # a level is asked for labels of so many strides a side; the ends have no limit
MOST_CELLS = 9  # of one label
SHARPNESS = 6.0  # of overlap against score (task alignment, Feng et al. 2021, 2108.07755)


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The labels of a batch; all share N."""

    picture: Tensor  # (N,) index in the batch
    boxes: Tensor  # (N, 4) x1 y1 x2 y2 in pixels
    class_ids: Tensor  # (N,)
    ignore: Tensor  # (N,) neither to learn nor background


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """P pairs of a cell and the label that it learns; no cell occurs twice."""

    picture: Tensor  # (P,)
    cell: Tensor  # (P,) in the order of `flat`
    label: Tensor  # (P,)


def assign(levels: Sequence[Level], logits: Tensor, encodings: Tensor, of_cells: Tensor, labels: Labels) -> Assignment:
    """Cells for each label that counts; how many follows from how well they fit (Ge et al. 2021, 2107.08430).

    `logits` and `encodings` are those of `flat`.
    """
    with torch.no_grad():
        real = torch.nonzero(~labels.ignore).flatten()
        if not len(real):
            return Assignment(real, real, real)
        cell, allowed = _near(levels, labels.boxes[real])  # (M, K)
        picture = labels.picture[real][:, None].expand_as(cell)
        found = boxes(encodings[picture, cell], of_cells[cell])
        wanted = labels.boxes[real][:, None].expand_as(found)
        iou = iou_and_giou(found.reshape(-1, 4), wanted.reshape(-1, 4))[0].reshape(cell.shape) * allowed
        score = logits[picture, cell, labels.class_ids[real][:, None].expand_as(cell)].sigmoid()
        centre = (wanted[..., :2] + wanted[..., 2:]) / 2
        off = (of_cells[cell][..., :2] - centre).norm(dim=-1) / of_cells[cell][..., 2]
        fit = (score.sqrt() * iou.pow(SHARPNESS) + 1e-9 * torch.exp(-off)) * allowed
        count = iou.topk(min(MOST_CELLS, iou.shape[1]), dim=1).values.sum(1).round().clamp(1, MOST_CELLS)
        order = fit.topk(min(MOST_CELLS, fit.shape[1]), dim=1)
        rank = torch.arange(order.indices.shape[1], device=cell.device)
        chosen = (rank[None] < count[:, None]) & (order.values > 0)
        cell = cell.gather(1, order.indices)[chosen]
        picture = picture.gather(1, order.indices)[chosen]
        label = real[:, None].expand_as(chosen)[chosen]
        quality = iou.gather(1, order.indices)[chosen]
        return _settle(picture * len(of_cells) + cell, quality, Assignment(picture, cell, label))


def _near(levels: Sequence[Level], targets: Tensor) -> tuple[Tensor, Tensor]:
    """For each box (M, 4) the cells around its centre on each level (M, K), and which of them it may use."""
    offsets = torch.arange(-REACH, REACH + 1, device=targets.device)
    dy, dx = (each.flatten() for each in torch.meshgrid(offsets, offsets, indexing="ij"))
    centre = (targets[:, :2] + targets[:, 2:]) / 2
    side = (targets[:, 2:] - targets[:, :2]).clamp(min=1).prod(1).sqrt()
    cells, allowed, start = [], [], 0
    for at, level in enumerate(levels):
        height, width = level.logits.shape[2:]
        x = (centre[:, 0] / level.stride_px).floor().long().clamp(0, width - 1)[:, None] + dx
        y = (centre[:, 1] / level.stride_px).floor().long().clamp(0, height - 1)[:, None] + dy
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        strides = side / level.stride_px
        fits = ((strides >= LEAST_STRIDES) | (at == 0)) & ((strides <= MOST_STRIDES) | (at == len(levels) - 1))
        cells.append(start + y.clamp(0, height - 1) * width + x.clamp(0, width - 1))
        allowed.append(inside & fits[:, None])
        start += height * width
    return torch.cat(cells, 1), torch.cat(allowed, 1)


def _settle(key: Tensor, quality: Tensor, claims: Assignment) -> Assignment:
    """A cell that several labels claim goes to the one that its box overlaps most."""
    order = torch.argsort(quality, stable=True)
    keys, places = key[order].unique(return_inverse=True)
    last = torch.zeros(len(keys), dtype=torch.long, device=key.device)
    last.scatter_reduce_(0, places, torch.arange(len(order), device=key.device), "amax", include_self=False)
    kept = order[last]
    return Assignment(claims.picture[kept], claims.cell[kept], claims.label[kept])
