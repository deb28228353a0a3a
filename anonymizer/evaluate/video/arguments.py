"""The arguments of `anonymizer evaluate video`."""

from __future__ import annotations

import argparse
from pathlib import Path

from anonymizer.arguments import colour, whole
from anonymizer.evaluate.video.command import Request
from anonymizer.evaluate.video.rehearsal import Pace
from anonymizer.settings.schema import Mode, TargetName

MOST_MS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `request_of` reads."""
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP", help="video file, or folder of one and gt.txt")
    parser.add_argument("--truth", type=Path, help="gt.txt of MOTChallenge, if it is not beside the clip in a folder")
    parser.add_argument("--target", choices=["face", "person"], help="if the ground truth has both")
    parser.add_argument("--model", help="instead of the settings' model")
    parser.add_argument("--settings", type=Path, help="settings file: models, thresholds, margins, times")
    parser.add_argument("--mode", choices=[str(mode) for mode in Mode], help="instead of the settings'")
    parser.add_argument("--lookahead-ms", type=whole(0, MOST_MS), help="instead of the settings'; 0 switches it off")
    parser.add_argument(
        "--no-tracking", action="store_true", help="mask detections alone, every frame looked at, for comparison"
    )
    parser.add_argument(
        "--detect-every",
        type=whole(1),
        default=1,
        metavar="N",
        help="only each N-th frame may be looked at (so many a second are as track.looks_per_s says)",
    )
    parser.add_argument(
        "--detector-ms", type=whole(0, MOST_MS), default=0, help="simulate a detector that takes so long a frame"
    )
    parser.add_argument("--json", type=Path, help="write the figures, and the leak of every frame")
    parser.add_argument("--picture", type=Path, help="write the leak over time as PNG")
    parser.add_argument("--anonymized", type=Path, help="measure another tool: the clip that it made of this one")
    parser.add_argument(
        "--fill", type=colour, default=(255, 0, 255), metavar="B,G,R", help="colour of that tool's masks (255,0,255)"
    )


def request_of(arguments: argparse.Namespace) -> Request:
    """The request that the parsed arguments make."""
    return Request(
        clips=tuple(arguments.clips),
        truth=arguments.truth,
        target=TargetName(arguments.target).target if arguments.target else None,
        model=arguments.model,
        mode=Mode(arguments.mode) if arguments.mode else None,
        lookahead_ms=arguments.lookahead_ms,
        tracking=not arguments.no_tracking,
        pace=Pace(every=arguments.detect_every, takes_ms=arguments.detector_ms),
        anonymized=arguments.anonymized,
        fill=arguments.fill,
        json=arguments.json,
        picture=arguments.picture,
    )
