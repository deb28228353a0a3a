"""Samples pictures of your own recordings and labels them with detectors, for a human to correct."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from anonymizer.errors import DatasetError
from anonymizer.ports import Detector
from anonymizer.types import U8, Colour, Frame, Planes, Target
from scripts.train.datasets.clip import sampled_stills
from scripts.train.datasets.store import save_rgb
from scripts.train.datasets.training_set import TrainingSet, class_of, stems_of
from scripts.train.picture import Sample

CLASSES = tuple(class_of(target) for target in Target)
_BT601 = Colour(full_range=False, bt709=False)  # what cv2 makes of RGB


def label_clips(
    clips: Sequence[Path],
    folder: Path,
    detector: Detector,
    *,
    every_s: float,
    scene_change: float | None = None,
    limit: int | None = None,
    sure: float = 0.5,
) -> TrainingSet:
    """Writes CLIP_MILLISECONDS.jpg files into the folder and returns them with what the started detector finds.

    Boxes that score under `sure` are marked as ignored: look at those first. `limit`: pictures of each clip.
    Raises DatasetError, also for a clip that is named twice, and ModelError.
    """
    samples = []
    files: dict[Path, Path] = {}
    for clip in clips:
        if clip.resolve() in files:
            raise DatasetError(f"{clip}: this clip is named twice: name it once")
        files[clip.resolve()] = clip.absolute()
    stems = stems_of(list(files.values()))
    for clip in files.values():
        stills = islice(sampled_stills(clip, every_s=every_s, scene_change=scene_change), limit)
        for number, still in enumerate(stills):
            path = folder / f"{stems[clip]}_{round(1000 * still.at_s):08d}.jpg"
            save_rgb(path, still.image)
            found = detector.detect(as_frame(still.image, number))
            samples.append(Sample(path, found.boxes, found.class_ids, found.scores < sure))
    return TrainingSet(CLASSES, tuple(samples))


def as_frame(image: U8, seq: int) -> Frame:
    """RGB as the planes that a camera sends; an odd last row or column goes."""
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    i420 = np.asarray(cv2.cvtColor(np.ascontiguousarray(image[:height, :width]), cv2.COLOR_RGB2YUV_I420), np.uint8)
    chroma = i420[height:].reshape(2, height // 2, width // 2)
    planes = Planes(i420[:height], chroma[0], chroma[1])
    return Frame("clip", seq, epoch=0, pts_ns=0, captured_ns=0, wall_ns=0, planes=planes, colour=_BT601)
