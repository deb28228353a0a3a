"""The ground truth of a clip in the form of MOTChallenge: where everybody is in every frame, with identities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anonymizer.errors import DatasetError
from anonymizer.evaluate.readers.mot import CLIPS, Row, labels_of, read_rows
from anonymizer.evaluate.sample import Flags
from anonymizer.evaluate.scores import ALL
from anonymizer.geometry import area, clip
from anonymizer.types import F32, I32, Size, Target


@dataclass(frozen=True, slots=True, eq=False)
class FrameTruth:
    """One frame: N people or faces, cut at the picture's edge; N may be 0."""

    boxes: F32  # (N, 4) x1 y1 x2 y2
    identities: I32  # (N,)
    judged: Flags  # (N,) False: neither hit nor miss, because the labels say so or it is too small


@dataclass(frozen=True, slots=True)
class ClipTruth:
    """A clip and its ground truth of one target; frames count from 1."""

    clip: Path
    target: Target
    rows: Mapping[int, list[Row]]

    def at(self, number: int, size: Size) -> FrameTruth:
        """The truth of one frame of that size."""
        rows = [row for row in self.rows.get(number, ()) if row.label.target is self.target]
        xywh = np.array([row.label.xywh for row in rows], np.float32).reshape(-1, 4)
        whole = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        boxes = clip(whole, size)
        inside = area(boxes) > 0
        is_large = boxes[:, 3] - boxes[:, 1] >= ALL.least_px
        judged = np.array([not row.label.ignored for row in rows], np.bool_) & is_large
        return FrameTruth(boxes[inside], np.array([row.identity for row in rows], np.int32)[inside], judged[inside])


def open_clip(path: Path, truth: Path | None, target: Target | None) -> ClipTruth:
    """A clip with its ground truth, or a folder that holds both; `target` None: the only one that is labelled.

    Raises DatasetError.
    """
    clip_path = path
    if path.is_dir():
        clips = sorted(file for file in path.iterdir() if file.suffix.lower() in CLIPS)
        if len(clips) != 1:
            raise DatasetError(f"{path}: needs exactly one clip, has {len(clips)}")
        clip_path = clips[0]
        truth = truth or labels_of(path)
    if not clip_path.is_file():
        raise DatasetError(f"{clip_path}: is missing")
    if truth is None:
        raise DatasetError(f"{path}: comes without ground truth: name the gt.txt by --truth")
    try:
        rows = read_rows(truth)
    except OSError as error:
        raise DatasetError(f"{truth}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{truth}: is not text but must be ground truth in the form of MOTChallenge") from None
    labelled = {row.label.target for frame in rows.values() for row in frame}
    if target is None and len(labelled) != 1:
        what = "faces and persons" if labelled else "neither faces nor persons"
        raise DatasetError(f"{truth}: labels {what}: add --target face or --target person")
    return ClipTruth(clip_path, target if target is not None else labelled.pop(), rows)
