"""One labelled picture of the training: its pixels, and the sample on disk that they are loaded from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.errors import DatasetError
from anonymizer.evaluate.sample import check_size
from anonymizer.types import F32, I32, U8, Size

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Pixels and labels; all label arrays share N, N may be 0."""

    image: U8  # (H, W, 3) RGB
    boxes: F32  # (N, 4) x1 y1 x2 y2 in pixels, x2 and y2 exclusive
    class_ids: I32  # (N,)
    ignore: Flags  # (N,) neither something to learn nor background

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if self.boxes.shape != (count, 4) or self.class_ids.shape != (count,) or self.ignore.shape != (count,):
            shapes = self.boxes.shape, self.class_ids.shape, self.ignore.shape
            raise ValueError(f"labels of unequal number: boxes, class_ids and ignore have the shapes {shapes}")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A labelled picture on disk; the pixels are read by `load`."""

    path: Path
    boxes: F32  # (N, 4) as of Picture, as labelled: may reach over the picture's edge
    class_ids: I32  # (N,) indices into the names of the data set's classes
    ignore: Flags  # (N,)
    labelled: Size | None = None  # the picture's size by the labels, where they say so

    def load(self) -> Picture:
        """The picture as stored, not turned by its EXIF tag.

        Raises DatasetError if it cannot be read, or the boxes are of a picture of another size.
        """
        image = read_rgb(self.path)
        check_size(self.path, Size(image.shape[1], image.shape[0]), self.labelled)
        return Picture(image, self.boxes, self.class_ids, self.ignore)


def read_rgb(path: Path) -> U8:
    """A picture file as (H, W, 3) RGB, not turned by its EXIF tag; raises DatasetError."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise DatasetError(f"{path} is missing or is no picture: check the data set")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
