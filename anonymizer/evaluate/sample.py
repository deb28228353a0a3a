"""One labelled picture, whatever data set it comes from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.errors import DatasetError
from anonymizer.types import F32, I32, U8, Size, Target

Flags = NDArray[np.bool_]
XYWH = tuple[float, float, float, float]  # left, top, width, height in pixels


@dataclass(frozen=True, slots=True)
class Label:
    """One labelled box before it becomes a row of a Sample."""

    xywh: XYWH
    target: Target
    ignored: bool = False  # by the data set: neither hit nor miss
    crowd: bool = False  # many objects in one box; implies ignored


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture and its ground truth; all arrays share N, N may be 0."""

    name: str  # the picture's file, relative to the folder of pictures; for a clip the number of the frame
    load: Callable[[], U8]  # (H, W, 3) BGR; raises DatasetError
    boxes: F32  # (N, 4) x1 y1 x2 y2 in pixels as labelled, may reach over the picture's edge
    ignored: Flags  # (N,)
    crowd: Flags  # (N,) never without ignored
    targets: I32  # (N,) values of Target

    def of(self, target: Target) -> Sample:
        """The same picture with the labels of one target."""
        chosen = self.targets == int(target)
        return Sample(
            self.name, self.load, self.boxes[chosen], self.ignored[chosen], self.crowd[chosen], self.targets[chosen]
        )


def make_sample(name: str, load: Callable[[], U8], labels: Iterable[Label]) -> Sample:
    """A sample of these labels, but for boxes without area; raises DatasetError for one that is not finite."""
    kept = [label for label in labels if not (label.xywh[2] <= 0 or label.xywh[3] <= 0)]
    xywh = np.array([label.xywh for label in kept], np.float32).reshape(-1, 4)
    if not np.isfinite(xywh).all():
        raise DatasetError(f"{name}: a box is not finite: mend the labels")
    return Sample(
        name=name,
        load=load,
        boxes=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
        ignored=np.array([label.ignored or label.crowd for label in kept], np.bool_),
        crowd=np.array([label.crowd for label in kept], np.bool_),
        targets=np.array([label.target for label in kept], np.int32),
    )


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture on disk that a sample loads when it is called."""

    path: Path
    labelled: Size | None = None  # its size according to the labels, if they state it

    def __call__(self) -> U8:
        """The picture (H, W, 3) BGR; raises DatasetError, also if the labels state another size."""
        picture = load_picture(self.path)
        check_size(self.path, Size(picture.shape[1], picture.shape[0]), self.labelled)
        return picture


def check_size(path: Path, stored: Size, labelled: Size | None) -> None:
    """Raises DatasetError if the size that the labels state is not that of the stored picture, rounding aside."""
    if labelled is None or max(abs(labelled.width - stored.width), abs(labelled.height - stored.height)) <= 1:
        return
    remedy = "label it again, or restore the picture that was labelled"
    if labelled == Size(stored.height, stored.width):
        remedy = "its EXIF tag turns it where it was labelled: turn it for good, for example by mogrify -auto-orient"
    raise DatasetError(f"{path}: is {stored} as stored, but its boxes are of {labelled}: {remedy}")


def load_picture(path: Path) -> U8:
    """A picture file as (H, W, 3) BGR, not turned by its EXIF tag, since labels mean pixels as stored.

    Raises DatasetError if it is missing or no picture.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None:
        raise DatasetError(f"{path} is missing or is no picture: check the data set, or name its folder by --pictures")
    return cast(U8, picture)


def stated_size(width: float | None, height: float | None) -> Size | None:
    """The size of a picture according to its labels, if they state one."""
    return Size(round(width), round(height)) if width and height and math.isfinite(width + height) else None


def find_pictures(places: Iterable[Path], first: str, labels: Path) -> Path:
    """The first folder that holds the first labelled picture; raises DatasetError if none does."""
    tried = list(dict.fromkeys(places))
    for place in tried:
        if (place / first).is_file():
            return place
    names = ", ".join(str(place) for place in tried)
    raise DatasetError(f"{labels}: found no {first} in {names}: name the folder of the pictures by --pictures")
