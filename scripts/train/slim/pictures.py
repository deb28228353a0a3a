"""The canvases of a step: as the teacher sees them, and as the network does, some of them damaged further."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from anonymizer.types import U8
from scripts.train.augment.augmenter import Augmentation, Augmenter
from scripts.train.canvas import CanvasMaker
from scripts.train.slim.recipe import SlimRecipe

SECOND = 1  # tells these random numbers from those of the canvas of the same number
FURTHER = Augmenter(
    Augmentation(
        blur_share=0.7,
        blur_px=(0.7, 3.0),
        motion_px=(2.0, 14.0),
        low_resolution_share=0.15,
        low_resolution=(1.3, 3.0),
        noise_share=0.15,
        jpeg_share=0.1,
        h264_share=0.1,
        h264_crf=(30.0, 42.0),
    )
)


class Pictures:
    """Batches (B, 3, side, side) of an endless sequence of canvases, the mean of the input taken off."""

    def __init__(self, canvases: CanvasMaker, recipe: SlimRecipe) -> None:
        self._canvases = canvases
        self._recipe = recipe

    def clear(self, first: int) -> Tensor:
        """Canvas number `first` and those after it."""
        return self._planes(self._images(first))

    def batch(self, first: int) -> tuple[Tensor, Tensor]:
        """The same ones for the teacher and for the network."""
        images = self._images(first)
        clear = self._planes(images)
        if not self._recipe.blurred:
            return clear, clear
        return clear, self._planes([self._further(image, first + at) for at, image in enumerate(images)])

    def _images(self, first: int) -> list[U8]:
        return [self._canvases.make(first + at).image for at in range(self._recipe.batch)]

    def _further(self, image: U8, number: int) -> U8:
        rng = np.random.default_rng((self._recipe.seed, number, SECOND))
        return FURTHER.damage(image, rng) if rng.random() < self._recipe.blurred else image

    def _planes(self, images: Sequence[U8]) -> Tensor:
        planes = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() - self._recipe.mean
        return planes.contiguous(memory_format=torch.channels_last)
