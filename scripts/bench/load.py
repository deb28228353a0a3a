"""What an overloaded device leaves bare: a street, played back and forth, with ever slower detectors.

    nice .venv/bin/python -m scripts.bench.load DATA/tracking/TUD-Campus

The core of the daemon, its governor included, on a simulated clock, so that other load on this machine changes nothing:
a detector that answers after four times as long is what a quarter of the CPU does to it. The clip has 71 frames, which
is less than the governor needs to think; turned back at each end, the people in it walk on without a cut.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2

from anonymizer.benchmark.stages import quiet_meter
from anonymizer.errors import SourceEnded
from anonymizer.evaluate.video.command import Crew, rehearse
from anonymizer.evaluate.video.leaks import ClipScores, sum_up
from anonymizer.evaluate.video.rehearsal import Pace
from anonymizer.evaluate.video.truth import ClipTruth, open_clip
from anonymizer.ports import Detector, Source
from anonymizer.settings.schema import Settings, TargetName
from anonymizer.studio import RehearsalStudio
from anonymizer.types import Detections, Frame

SECONDS = 20
DETECTOR_MS = (40, 80, 160, 320, 640)


class Pendulum:
    """A Source that plays frames forwards and backwards, for so many frames."""

    codec = "memory"

    def __init__(self, frames: Sequence[Frame], count: int) -> None:
        self._frames = frames
        self._count = count
        self._next = 0

    def start(self) -> None:
        """Nothing to do."""

    def read(self) -> Frame:
        """The next frame; raises SourceEnded."""
        if self._next >= self._count:
            raise SourceEnded("over")
        frame = self._frames[place(self._next, len(self._frames))]
        step_ns = self._frames[1].pts_ns - self._frames[0].pts_ns
        self._next += 1
        return replace(frame, seq=self._next, pts_ns=self._next * step_ns)

    def close(self) -> None:
        """Nothing to do."""


def place(number: int, count: int) -> int:
    """Which of `count` frames is the `number`-th one there and back; no end is shown twice in a row.

    >>> [place(number, 3) for number in range(6)]
    [0, 1, 2, 1, 0, 1]
    """
    along = number % (2 * count - 2)
    return min(along, 2 * count - 2 - along)


class OnceDetector:
    """Looks at each of the frames once, however often they are played; a frame's place tells which it is."""

    def __init__(self, detector: Detector, count: int) -> None:
        self._detector = detector
        self._count = count
        self._answers: dict[int, Detections] = {}

    def start(self) -> None:
        """Load the model."""
        self._detector.start()

    def detect(self, frame: Frame) -> Detections:
        """What is in this frame."""
        at = place(frame.seq, self._count)
        if at not in self._answers:
            self._answers[at] = self._detector.detect(frame)
        return replace(self._answers[at], seq=frame.seq, epoch=frame.epoch, camera_id=frame.camera_id)

    def close(self) -> None:
        """Free the model."""
        self._detector.close()


class PendulumStudio(RehearsalStudio):
    """Plays these frames whatever clip is asked for."""

    def __init__(self, frames: Sequence[Frame], count: int) -> None:
        super().__init__(quiet_meter())
        self._frames = frames
        self._count = count

    def source(self, clip: Path) -> Source:
        """The frames."""
        return Pendulum(self._frames, self._count)


def under_load(clip: ClipTruth, settings: Settings) -> list[tuple[int, ClipScores]]:
    """Milliseconds that the detector takes, and what comes of them."""
    frames = list(_frames(clip.clip))
    count = round(SECONDS * 1e9 / (frames[1].pts_ns - frames[0].pts_ns))
    studio = PendulumStudio(frames, count)
    rows = {number + 1: clip.rows.get(place(number, len(frames)) + 1, []) for number in range(count)}
    truth, target = replace(clip, rows=rows), TargetName[clip.target.name]
    privacy = settings.privacy.model_copy(update={"targets": (target,)})
    inner = studio.detector(settings, clip.target, strict=False)
    with contextlib.closing(OnceDetector(inner, len(frames))) as detector:
        detector.start()
        crew = Crew(studio, detector, None, settings)
        paces = [(takes_ms, Pace(takes_ms=takes_ms)) for takes_ms in DETECTOR_MS]
        return [(ms, sum_up(f"{ms} ms", [rehearse(truth, crew, privacy, pace)])) for ms, pace in paces]


def as_lines(measured: Sequence[tuple[int, ClipScores]]) -> list[str]:
    """A Markdown table."""
    lines = ["| the detector takes | leak | longest bare | frames shown a second | of them masked whole | over-mask |"]
    lines.append("| --- " * 6 + "|")
    for takes_ms, scores in measured:
        shown = scores.frames - scores.withheld
        cells = [
            f"{takes_ms} ms",
            f"**{100 * (scores.leak.value or 0.0):.1f} %**",
            f"{scores.longest.frames} frames, {scores.longest.duration_ns / 1e6:.0f} ms",
            f"{shown / SECONDS:.1f}",
            f"{100 * sum(scores.whole_frames.values()) / max(shown, 1):.0f} %",
            f"{100 * scores.over_mask:.1f} %",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _frames(clip: Path) -> list[Frame]:
    frames = []
    with contextlib.closing(RehearsalStudio(quiet_meter()).source(clip)) as source:
        source.start()
        with contextlib.suppress(SourceEnded):
            while True:
                frames.append(source.read())
    return frames


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, help="folder of a clip and its gt.txt")
    cv2.setNumThreads(1)
    print("\n".join(as_lines(under_load(open_clip(parser.parse_args().clip, None, None), Settings()))))


if __name__ == "__main__":
    main()
