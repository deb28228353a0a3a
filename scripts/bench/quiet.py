"""What a view that stands still costs, and whether whoever then comes is masked as soon as where every look is made.

    nice .venv/bin/python -m scripts.bench.quiet [PEOPLE] [--clips 2] [--seed 1]

Nobody is there for half a minute, in noise and changing light; then two portraits come in from the sides, far and near.
PEOPLE holds folders of photos; without it the portraits are those of the demo. The face model and the whole core of a
camera play each clip on a simulated clock, as shipped and with as many looks as at any view. A face is bare where masks
cover less than 90 % of what is in the picture of it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anonymizer.benchmark.stages import quiet_meter
from anonymizer.evaluate.coverage import mask_of_plan
from anonymizer.evaluate.video.rehearsal import Pace, Rehearsal, Take
from anonymizer.identify.portrait import SURE_SCORE
from anonymizer.settings.schema import EVERY_PICTURE, PrivacySettings, Settings, TargetName, TrackSettings
from anonymizer.studio import RehearsalStudio
from anonymizer.types import Size, Target
from scripts.bench.recognition import card_of, people_in
from scripts.clips.encounters import Card, Scene, Sight, make_encounter

DEMO = Path(__file__).parents[2] / "anonymizer" / "demo" / "portraits"
SCENE = Scene(size=Size(1280, 720), seconds=38.0, empty_s=30.0, face_px=(24.0, 90.0))
SETTLED_S = 12.0  # by then the view has been still for long enough
COVERED = 0.9
LEAST_OPEN = 0.3  # share of a face that must be in the picture and in front to count
TAKES_MS = 150.0  # simulated: a look on a slow processor


@dataclass(slots=True)
class Score:
    """Over all clips."""

    looks: int = 0
    detect_ms: float = 0.0
    quiet_s: float = 0.0
    faces: int = 0
    bare: int = 0

    def __str__(self) -> str:
        a_second = self.looks / self.quiet_s
        cost = a_second * self.detect_ms / max(self.looks, 1)
        return (
            f"{a_second:.1f} looks and {cost:.0f} CPU-ms a second while quiet; bare: {self.bare} of {self.faces} faces"
        )


def cards_in(folder: Path, settings: Settings) -> list[Card]:
    """Everybody's portraits."""
    detect = settings.detect.model_copy(update={"face_threshold": SURE_SCORE})
    detector = RehearsalStudio(quiet_meter()).detector(
        settings.model_copy(update={"detect": detect}), Target.FACE, strict=False
    )
    detector.start()
    try:
        found = [
            card_of(name, photo, detector.detect) for name, photos in people_in(folder).items() for photo in photos
        ]
    finally:
        detector.close()
    return [card for card in found if card is not None]


def play(clip: Path, settings: Settings) -> Take:
    """Through the core; looks take their time."""
    studio = RehearsalStudio(quiet_meter())
    source, detector = studio.source(clip), studio.detector(settings, Target.FACE, strict=False)
    detector.start()
    source.start()
    try:
        return Rehearsal(
            source,
            detector,
            lambda submit, sink, clock: studio.core(settings, settings.privacy, submit=submit, sink=sink, clock=clock),
            Pace(takes_ms=TAKES_MS),
            time.process_time_ns,
        ).perform()
    finally:
        detector.close()
        source.close()


def judge(take: Take, sights: Sequence[Sequence[Sight]], score: Score) -> None:
    """Add a clip."""
    in_quiet = [seq for seq in take.found if SETTLED_S <= take.times_ns[seq] / 1e9 < SCENE.empty_s]
    score.looks += len(in_quiet)
    score.quiet_s += SCENE.empty_s - SETTLED_S
    score.detect_ms += take.spent.detect / 1e6 / len(take.found) * len(in_quiet)
    for shown in take.shown:
        mask = None
        for sight in sights[shown.seq]:
            if sight.open_share < LEAST_OPEN:
                continue
            mask = mask_of_plan(shown.plan, shown.size) if mask is None else mask
            x1, y1, x2, y2 = (max(round(side), 0) for side in sight.box)
            score.faces += 1
            score.bare += bool((mask[y1:y2, x1:x2] > 0).mean() < COVERED)


def main() -> None:
    """Make the clips, play each twice, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path, nargs="?", default=DEMO)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    shipped = Settings(privacy=PrivacySettings(targets=(TargetName.FACE,)))
    every = shipped.model_copy(update={"track": TrackSettings(quiet_looks_per_s=EVERY_PICTURE)})
    ways = {"as shipped": (shipped, Score()), "as many looks as ever": (every, Score())}
    cards = cards_in(options.people, shipped)
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.clips):
            clip = Path(folder) / f"{number}.mp4"
            chosen = [cards[at] for at in rng.permutation(len(cards))[:2].tolist()]
            sights = make_encounter(chosen, SCENE, clip, rng)
            for settings, score in ways.values():
                judge(play(clip, settings), sights, score)
    for name, (_, score) in ways.items():
        print(f"{name}: {score}")


if __name__ == "__main__":
    main()
