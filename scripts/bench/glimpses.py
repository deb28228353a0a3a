"""How many of those who show only briefly are in no look at all, by how often the models look.

    nice .venv/bin/python -m scripts.bench.glimpses CLIP [CLIP ...] [--model NAME]

A CLIP is a folder of a video and its gt.txt, all of one target. The model sees every frame once. Then every stretch of
so many frames in which a label stays is somebody who shows for that long, and looks begin at every half frame: a
stretch is missed when no look in it finds the label. Tracks and look-ahead do not help whom nobody ever found.
"""

from __future__ import annotations

import argparse
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from anonymizer.benchmark.stages import quiet_meter
from anonymizer.evaluate.scores import BINS, HeightBin
from anonymizer.evaluate.video.judgement import judge
from anonymizer.evaluate.video.leaks import Share
from anonymizer.evaluate.video.truth import ClipTruth, open_clip
from anonymizer.settings.schema import LOOKS_PER_S, Settings
from anonymizer.studio import RehearsalStudio
from anonymizer.types import Target
from scripts.bench.over_mask import Seen, look

FPS = 25
LENGTHS_MS = (200, 400, 600, 1000)
RATES = (FPS, 12.5, LOOKS_PER_S, 5)  # looks a second
Counts = dict[tuple[HeightBin, int, float], Share]  # by height, length and rate


def missed(is_found: Sequence[bool], length: int, stride: float) -> Share:
    """Of all stretches of `length` frames, with looks each `stride` frames, those in which none finds anybody."""
    part = whole = 0
    for start in range(len(is_found) - length + 1):
        for phase in np.arange(0.0, stride, 0.5):
            part += not any(is_found[start + int(at)] for at in np.arange(phase, length, stride))
            whole += 1
    return Share(part, whole)


def count(clip: ClipTruth, frames: Sequence[Seen]) -> Counts:
    """All stretches of one clip."""
    paths = defaultdict[int, list[tuple[int, bool, float]]](list)
    for seen in frames:
        truth = clip.at(seen.number, seen.frame.size)
        judgement = judge(truth, clip.target, seen.frame.pts_ns, None, seen.found)
        for row in np.flatnonzero(truth.judged).tolist():
            height_px = float(truth.boxes[row, 3] - truth.boxes[row, 1])
            paths[int(truth.identities[row])].append((seen.number, bool(judgement.seen[row]), height_px))
    counts = defaultdict[tuple[HeightBin, int, float], Share](lambda: Share(0, 0))
    for path in paths.values():
        height_px = float(np.median([step[2] for step in path]))
        (heights,) = (each for each in BINS if each.least_px <= height_px < each.below_px)
        for stretch in np.split(np.array(path), np.flatnonzero(np.diff([step[0] for step in path]) > 1) + 1):
            is_found = [bool(found) for found in stretch[:, 1]]
            for length_ms in LENGTHS_MS:
                for rate in RATES:
                    counts[heights, length_ms, rate] += missed(is_found, length_ms * FPS // 1000, FPS / rate)
    return dict(counts)


def as_lines(counts: Counts) -> list[str]:
    """A Markdown table."""
    heads = " | ".join(f"{rate:g} looks a second" for rate in RATES)
    lines = [f"| height, shows for | {heads} |", "| --- " * (len(RATES) + 1) + "|"]
    for heights in BINS:
        for length_ms in LENGTHS_MS:
            shares = [counts.get((heights, length_ms, rate), Share(0, 0)) for rate in RATES]
            if shares[0].whole:
                cells = " | ".join(f"{100 * (share.value or 0.0):.1f} %" for share in shares)
                lines.append(f"| {heights} px, {length_ms} ms | {cells} |")
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--model", help="of faces; default: the shipped one")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    clips = [open_clip(path, None, None) for path in options.clips]
    settings, studio = Settings(), RehearsalStudio(quiet_meter())
    if options.model is not None and clips[0].target is Target.FACE:
        settings = settings.model_copy(
            update={"detect": settings.detect.model_copy(update={"face_model": options.model})}
        )
    counts = defaultdict[tuple[HeightBin, int, float], Share](lambda: Share(0, 0))
    with contextlib.closing(studio.detector(settings, clips[0].target, strict=False)) as detector:
        detector.start()
        for clip in clips:
            for key, share in count(clip, list(look(clip.clip, studio, detector))).items():
                counts[key] += share
    print("\n".join(as_lines(counts)))


if __name__ == "__main__":
    main()
