"""Cuts AVA's annotated frames out of local video files, with one box for each person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anonymizer.errors import DatasetError
from scripts.train.datasets.ava import PERSON, Someone, by_frame, read_rows
from scripts.train.datasets.clip import CLIPS, Still, stills_at
from scripts.train.datasets.store import save_rgb
from scripts.train.datasets.training_set import TrainingSet
from scripts.train.picture import Sample


@dataclass(frozen=True, slots=True)
class Cut:
    """What was cut, and what could not be."""

    data: TrainingSet
    missing: tuple[str, ...]  # videos of which there is no file
    before: tuple[str, ...]  # VIDEO_TIMESTAMP before the beginning of its file
    beyond: tuple[str, ...]  # and past its end


def cut_frames(
    labels: Path, videos: Path, folder: Path, *, per_video: int | None = None, starts_at_s: float = 0.0
) -> Cut:
    """Writes VIDEO_TIMESTAMP.jpg files into the folder and returns them with their boxes, all of class `person`.

    `videos` holds files named by their video_id, in any folder below. `per_video`: so many time stamps of each, evenly
    spread. `starts_at_s`: second of the film at which the files begin, for AVA's excerpts of 15 minutes 900 s.
    Raises DatasetError, also if there is nothing to cut.
    """
    if not videos.is_dir():
        raise DatasetError(f"{videos}: is no folder: name the one with the videos")
    files = {file.stem: file for file in sorted(videos.rglob("*")) if file.suffix.lower() in CLIPS}
    wanted: dict[str, dict[str, tuple[Someone, ...]]] = defaultdict(dict)
    for (video, timestamp), people in by_frame(read_rows(labels)).items():
        wanted[video][timestamp] = people
    samples: list[Sample] = []
    before: list[str] = []
    beyond: list[str] = []
    for video in sorted(wanted.keys() & files.keys()):
        chosen = _spread(sorted(wanted[video], key=float), per_video)
        before += [f"{video}_{stamp}" for stamp in chosen if float(stamp) < starts_at_s]
        stamps = [stamp for stamp in chosen if float(stamp) >= starts_at_s]
        seconds = [float(stamp) - starts_at_s for stamp in stamps]
        for stamp, (_, still) in zip(stamps, stills_at(files[video], seconds), strict=True):
            if still is None:
                beyond.append(f"{video}_{stamp}")
            else:
                samples.append(_saved(folder / f"{video}_{stamp}.jpg", still, wanted[video][stamp]))
    if not samples:
        raise DatasetError(f"{labels}: {_nothing(videos, len(before), len(beyond))}")
    missing = tuple(sorted(wanted.keys() - files.keys()))
    return Cut(TrainingSet((PERSON,), tuple(samples)), missing, tuple(before), tuple(beyond))


def _nothing(videos: Path, before: int, beyond: int) -> str:
    """Why there is nothing to cut."""
    if not before + beyond:
        return f"{videos} holds no file named by one of its video_ids"
    return (
        f"nothing could be cut: {before} time stamps lie before the beginning of their files and {beyond} past the "
        "end: name by --starts-at-s the second of the film at which the files begin, 900 for the usual excerpts"
    )


def _spread(stamps: Sequence[str], count: int | None) -> list[str]:
    if count is None or count >= len(stamps):
        return list(stamps)
    chosen = np.linspace(0, len(stamps) - 1, count).round().astype(int).tolist()
    return [stamps[at] for at in chosen]


def _saved(path: Path, still: Still, people: Sequence[Someone]) -> Sample:
    save_rgb(path, still.image)
    height, width = still.image.shape[:2]
    boxes = np.array([each.corners for each in people]) * (width, height, width, height)
    count = len(people)
    return Sample(path, boxes.astype(np.float32), np.zeros(count, np.int32), np.zeros(count, np.bool_))
