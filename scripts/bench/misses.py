"""Who is bare, and what is hidden for it, when a detector misses people who move as people do.

    nice .venv/bin/python -m scripts.bench.misses VIDEO [VIDEO ...] [--target face] [--run 8] [--frames 250]

The clips of the privacy report show people who stand still before a camera that turns. Here any recording will do: whom
the model finds in frame after frame is the truth. From the daemon's core everybody is hidden by chance, for so many
frames on average, and then shown as long. What masks leave bare is what tracks, look-ahead and matching by sight do not
bring back; whom the model never finds is not judged. The same seed hides the same.
"""

from __future__ import annotations

import argparse
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from anonymizer.benchmark.stages import quiet_meter
from anonymizer.errors import SourceEnded
from anonymizer.evaluate.readers.mot import Row
from anonymizer.evaluate.sample import Label
from anonymizer.evaluate.video.command import Crew, rehearse
from anonymizer.evaluate.video.leaks import JudgedClip, sum_up
from anonymizer.evaluate.video.rehearsal import Pace
from anonymizer.evaluate.video.truth import ClipTruth
from anonymizer.geometry import iou_matrix
from anonymizer.ports import Detector, Source
from anonymizer.settings.schema import Settings, TargetName
from anonymizer.studio import RehearsalStudio
from anonymizer.types import F32, Detections, Frame, Target

SURE = {Target.FACE: 0.3, Target.PERSON: 0.4}  # score of whom truth may consist of
SAME_IOU = 0.3  # of a box in two frames, or of two boxes of one person in one
LEAST_FRAMES = 6  # of somebody who counts
Sightings = dict[int, F32]  # by frame from 0, the box (4,)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What the model found in each frame of a clip, and who was there."""

    clip: Path
    found: tuple[Detections, ...]
    people: tuple[Sightings, ...]


class Excerpt:
    """The first frames of a source; the film ends after them."""

    def __init__(self, source: Source, frames: int) -> None:
        self._source, self._left = source, frames

    @property
    def codec(self) -> str:
        """That of the film."""
        return self._source.codec

    def start(self) -> None:
        """Open it."""
        self._source.start()

    def read(self) -> Frame:
        """The next frame; raises SourceEnded after the last."""
        if not self._left:
            raise SourceEnded("the excerpt is over")
        self._left -= 1
        return self._source.read()

    def close(self) -> None:
        """Close it."""
        self._source.close()


class ExcerptStudio(RehearsalStudio):
    """A studio whose films are short."""

    frames = 250

    def source(self, clip: Path) -> Source:
        """The first frames of the clip; not started."""
        return Excerpt(super().source(clip), self.frames)


class MissingDetector:
    """Repeats what was found, without those who are hidden in that frame."""

    def __init__(self, recording: Recording, hidden: Sequence[frozenset[int]]) -> None:
        """`hidden`: of each person, the frames in which nobody may find them."""
        self._recording, self._hidden = recording, hidden

    def start(self) -> None:
        """Nothing to load."""

    def detect(self, frame: Frame) -> Detections:
        """What is left; whatever overlaps somebody hidden is of them."""
        found = self._recording.found[frame.seq]
        gone = [
            person[frame.seq]
            for person, frames in zip(self._recording.people, self._hidden, strict=True)
            if frame.seq in frames and frame.seq in person
        ]
        kept = np.ones(len(found.boxes), np.bool_)
        if gone and len(kept):
            kept = iou_matrix(found.boxes, np.array(gone, np.float32)).max(axis=1) < SAME_IOU
        return replace(
            found,
            camera_id=frame.camera_id,
            seq=frame.seq,
            epoch=frame.epoch,
            boxes=found.boxes[kept],
            scores=found.scores[kept],
            class_ids=found.class_ids[kept],
        )

    def close(self) -> None:
        """Nothing to free."""


def linked(found: Sequence[Detections], target: Target) -> tuple[Sightings, ...]:
    """People by overlap from frame to frame, those who are found in LEAST_FRAMES running or more."""
    done: list[Sightings] = []
    open_now: list[Sightings] = []
    for at, each in enumerate(found):
        boxes = each.boxes[(each.class_ids == target) & (each.scores >= SURE[target])]
        going_on: list[Sightings] = []
        is_free = np.ones(len(boxes), np.bool_)
        for person in open_now:
            overlap = iou_matrix(person[at - 1][None], boxes)[0] * is_free
            if len(overlap) and overlap.max() >= SAME_IOU:
                best = int(overlap.argmax())
                person[at], is_free[best] = boxes[best], False
                going_on.append(person)
            else:
                done.append(person)
        open_now = going_on + [{at: box} for box in boxes[is_free]]
    return tuple(person for person in done + open_now if len(person) >= LEAST_FRAMES)


def hidden_in(person: Sightings, run: float, rng: np.random.Generator) -> frozenset[int]:
    """Frames in which somebody is missed: runs of `run` frames on average, as long as those in between."""
    is_hidden, frames = bool(rng.random() < 0.5), set[int]()
    for at in sorted(person):
        is_hidden ^= bool(rng.random() < 1 / run)
        if is_hidden:
            frames.add(at)
    return frozenset(frames)


def record(clip: Path, studio: ExcerptStudio, detector: Detector, target: Target) -> Recording:
    """Let the model see every frame of the excerpt."""
    found = []
    with contextlib.closing(studio.source(clip)) as source, contextlib.suppress(SourceEnded):
        source.start()
        while True:
            found.append(detector.detect(source.read()))
    return Recording(clip, tuple(found), linked(found, target))


def truth_of(recording: Recording, target: Target) -> ClipTruth:
    """The people of a recording as ground truth, which counts frames from 1."""
    rows = defaultdict[int, list[Row]](list)
    for identity, person in enumerate(recording.people):
        for at, (x1, y1, x2, y2) in person.items():
            xywh = (float(x1), float(y1), float(x2 - x1), float(y2 - y1))
            rows[at + 1].append(Row(identity, Label(xywh, target)))
    return ClipTruth(recording.clip, target, rows)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+", metavar="VIDEO")
    parser.add_argument("--target", choices=[target.name.lower() for target in Target], default="face")
    parser.add_argument("--run", type=float, default=8, help="frames that somebody is missed for, mean (8)")
    parser.add_argument("--frames", type=int, default=250, help="of each video (250)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    target = Target[options.target.upper()]
    settings, studio = Settings(), ExcerptStudio(quiet_meter())
    studio.frames = options.frames
    privacy = settings.privacy.model_copy(update={"targets": (TargetName(options.target),)})
    judged = []
    with contextlib.closing(studio.detector(settings, target, strict=False)) as detector:
        detector.start()
        recordings = [record(clip, studio, detector, target) for clip in options.videos]
    print("| video | bare | | over-mask |\n| --- | --- | --- | --- |")
    for number, recording in enumerate(recordings):
        rngs = [np.random.default_rng([options.seed, number, at]) for at in range(len(recording.people))]
        pairs = zip(recording.people, rngs, strict=True)
        hidden = [hidden_in(person, options.run, rng) for person, rng in pairs]
        crew = Crew(studio, MissingDetector(recording, hidden), None, settings)
        judged.append(rehearse(truth_of(recording, target), crew, privacy, Pace()))
        print(as_line(recording.clip.name, judged[-1:]), flush=True)
    print(as_line("all", judged))


def as_line(name: str, clips: Sequence[JudgedClip]) -> str:
    """A row of the table."""
    scores = sum_up(name, clips)
    bare = 100 * (scores.leak.value or 0.0)
    return f"| {name} | {scores.leak.part} of {scores.leak.whole} | {bare:.1f} % | {100 * scores.over_mask:.1f} % |"


if __name__ == "__main__":
    main()
