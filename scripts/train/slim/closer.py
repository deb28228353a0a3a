"""What CenterFace sees on a picture twice as large, put into the cells of the picture itself."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from anonymizer.detect.families.centerface import STRIDE_PX
from anonymizer.errors import DatasetError
from scripts.train.slim.network import Plan, SlimNetwork

HEAT, SCALE, OFFSET = "heat", "scale", "offset"
ZOOM = 2
MOST_PX = 48  # higher faces are seen as well on the picture itself, and enlarged perhaps in parts


def check_closer(plan: Plan) -> None:
    """Raises DatasetError if the outputs are not CenterFace's, whose meaning has to be known."""
    if plan.outputs.keys() != {HEAT, SCALE, OFFSET}:
        raise DatasetError(f"--closer knows the outputs of CenterFace, not {', '.join(plan.outputs)}")


def look_closer(teacher: SlimNetwork, pictures: Tensor, expected: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """`expected`, what the teacher says of pictures (B, 3, H, W), with the small faces that it sees on larger ones.

    A cell that is surer there takes over its score and box, of the surest of the four cells in its place.
    """
    larger = functional.interpolate(pictures, scale_factor=ZOOM, mode="bilinear", align_corners=False)
    said = teacher(larger.contiguous(memory_format=torch.channels_last))
    heat, scale, offset = (teacher.plan.outputs[name] for name in (HEAT, SCALE, OFFSET))
    score, at = _of_four(said[heat]).max(1, keepdim=True)  # (B, 1, h, w)
    sides = _of_four(said[scale]).gather(1, _both(at)) - math.log(ZOOM)
    # y and x of the cell among the four, and from its middle to the middle of all of them
    within = torch.cat([at // ZOOM, at % ZOOM], 1) + _of_four(said[offset]).gather(1, _both(at)) + 0.5
    centres = within / ZOOM - 0.5
    is_small = STRIDE_PX * sides[:, :1].exp() <= MOST_PX
    is_surer = (score > expected[heat]) & is_small
    closer = {heat: score, scale: sides, offset: centres}
    return {
        key: torch.where(is_surer, closer[key], value) if key in closer else value for key, value in expected.items()
    }


def _of_four(fine: Tensor) -> Tensor:
    """(B, C, 2h, 2w) to (B, C * 4, h, w), the four cells of a place after each other, row by row."""
    return functional.pixel_unshuffle(fine, ZOOM)


def _both(at: Tensor) -> Tensor:
    """Where y's and x's values of those cells are."""
    return torch.cat([at, at + ZOOM**2], 1)
