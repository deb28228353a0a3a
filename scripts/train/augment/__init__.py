"""Makes new labelled pictures out of labelled pictures; seeded, numpy and OpenCV only, real H.264 through PyAV."""

from scripts.train.augment.augmenter import Augmentation, Augmenter
from scripts.train.augment.compose import mosaic, paste_small

__all__ = ["Augmentation", "Augmenter", "mosaic", "paste_small"]
