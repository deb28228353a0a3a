"""What the audit's model would see if nothing were masked, and how often it raises an alarm at what is.

    nice .venv/bin/python -m scripts.bench.second_look PATH [PATH ...] [--model NAME] [--threshold 0.8]

A PATH is a folder of a video and its gt.txt with faces, or any video; of that only alarms are counted. Every half
second the audit's detector looks at the picture as the camera takes it: the share of labelled faces that it finds, by
height, is the share of leaks that one look would notice. Then each film is played through the daemon's core as
shipped, and the detector audits what would be published, as often: alarms are pictures in which it finds a face outside
the masks, be it one or not.
"""

from __future__ import annotations

import argparse
import contextlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from anonymizer.benchmark.stages import quiet_meter
from anonymizer.evaluate.scores import BINS, HeightBin
from anonymizer.evaluate.video.command import Crew, rehearse
from anonymizer.evaluate.video.judgement import judge
from anonymizer.evaluate.video.leaks import Share
from anonymizer.evaluate.video.rehearsal import Pace
from anonymizer.evaluate.video.truth import ClipTruth, open_clip
from anonymizer.ports import Detector
from anonymizer.settings.schema import Settings, TargetName
from anonymizer.types import Target
from scripts.bench.misses import ExcerptStudio
from scripts.bench.over_mask import Seen, look

INTERVAL_S = 0.5  # a third of the default, for clips are short
FRAMES = 400  # of each film
_INTERVAL_NS = round(INTERVAL_S * 1e9)
Found = dict[HeightBin, Share]


def film(path: Path) -> ClipTruth:
    """A clip with its faces, or a video without any that are known; raises DatasetError."""
    return open_clip(path, None, Target.FACE) if path.is_dir() else ClipTruth(path, Target.FACE, {})


def found_in(clip: ClipTruth, seen: Seen) -> Found:
    """Of the judged faces of one frame, those that were found, by height."""
    truth = clip.at(seen.number, seen.frame.size)
    judgement = judge(truth, clip.target, seen.frame.pts_ns, None, seen.found)
    counts = defaultdict[HeightBin, Share](lambda: Share(0, 0))
    for row in np.flatnonzero(truth.judged).tolist():
        height_px = float(truth.boxes[row, 3] - truth.boxes[row, 1])
        (heights,) = (each for each in BINS if each.least_px <= height_px < each.below_px)
        counts[heights] += Share(int(judgement.seen[row]), 1)
    return dict(counts)


def looks(clip: ClipTruth, studio: ExcerptStudio, auditor: Detector) -> Found:
    """What the auditor finds of a clip's faces when nothing is masked."""
    counts, due_ns = defaultdict[HeightBin, Share](lambda: Share(0, 0)), 0
    for seen in look(clip.clip, studio, auditor):
        if seen.frame.pts_ns >= due_ns:
            due_ns = seen.frame.pts_ns + _INTERVAL_NS
            for heights, share in found_in(clip, seen).items():
                counts[heights] += share
    return dict(counts)


def as_lines(name: str, threshold: float, found: Mapping[HeightBin, Share], alarms: Share) -> list[str]:
    """A Markdown table of one row."""
    sizes = [heights for heights in BINS if heights in found]
    heads = ["audit", "at", *(f"{heights} px" for heights in sizes), "alarms"]
    shares = [
        f"{100 * found[heights].part / found[heights].whole:.0f} % of {found[heights].whole}" for heights in sizes
    ]
    cells = [name, f"{threshold:g}", *shares, f"{alarms.part} of {alarms.whole}"]
    return [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}", f"| {' | '.join(cells)} |"]


def main() -> None:
    """Print the table."""
    own = Settings().audit
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path, nargs="+", metavar="PATH")
    parser.add_argument("--model", default=own.model, help=f"of the audit ({own.model})")
    parser.add_argument("--threshold", type=float, default=own.threshold, help=f"least score ({own.threshold})")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    changes = {"model": options.model, "threshold": options.threshold, "interval_s": INTERVAL_S}
    settings = Settings().model_copy(update={"audit": own.model_copy(update=changes)})
    privacy = settings.privacy.model_copy(update={"targets": (TargetName.FACE,)})
    studio = ExcerptStudio(quiet_meter())
    studio.frames = FRAMES
    films = [film(path) for path in options.films]
    found, alarms = defaultdict[HeightBin, Share](lambda: Share(0, 0)), Share(0, 0)
    with contextlib.ExitStack() as stack:
        auditor = stack.enter_context(contextlib.closing(studio.auditor(settings)))
        detector = stack.enter_context(contextlib.closing(studio.detector(settings, Target.FACE, strict=False)))
        auditor.start()
        detector.start()
        for clip in films:
            for heights, share in looks(clip, studio, auditor).items() if clip.rows else ():
                found[heights] += share
            alarms += rehearse(clip, Crew(studio, detector, auditor, settings), privacy, Pace()).audit or Share(0, 0)
    print("\n".join(as_lines(options.model, options.threshold, found, alarms)))


if __name__ == "__main__":
    main()
