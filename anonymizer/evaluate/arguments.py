"""The arguments of `anonymizer evaluate detect`."""

from __future__ import annotations

import argparse
from pathlib import Path

from anonymizer.arguments import colour, share, whole
from anonymizer.evaluate.command import Candidate, Request
from anonymizer.evaluate.compare import RESAMPLES
from anonymizer.settings.schema import TargetName

_FORMS = "labels: .json (list of files and boxes, or COCO), WIDER FACE .txt, folder of Pascal VOC or MOTChallenge"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `request_of` reads."""
    parser.add_argument("dataset", type=Path, help=_FORMS)
    parser.add_argument("--pictures", type=Path, help="their folder, if it is not beside the labels")
    parser.add_argument("--target", choices=["face", "person"], help="if the labels have both")
    parser.add_argument(
        "--model",
        type=_candidate,
        action="append",
        default=[],
        metavar="NAME[@PX]",
        help="repeat to compare; @PX also searches tiles for faces from so many pixels on (default: the settings')",
    )
    parser.add_argument(
        "--threshold",
        type=share,
        help="least score that is masked, of small ones and in faint pictures less (default: the settings' or model's)",
    )
    parser.add_argument("--settings", type=Path, help="settings file: models, thresholds, margins, shapes")
    parser.add_argument("--limit", type=whole(1), help="only so many pictures, evenly spread over all")
    parser.add_argument("--json", type=Path, help="write the figures and curves")
    parser.add_argument("--picture", type=Path, help="write the curves and the leak by height as PNG")
    parser.add_argument(
        "--gallery",
        type=Path,
        metavar="FOLDER",
        help="write sheets of what was missed or left bare, by height: they show people unmasked",
    )
    parser.add_argument(
        "--resamples",
        type=whole(1),
        default=RESAMPLES,
        help=f"of the pictures, for the intervals of differences between models ({RESAMPLES})",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the resamplings (0)")
    parser.add_argument(
        "--anonymized",
        type=Path,
        help="measure another tool: folder of its pictures, named like the originals, best PNG",
    )
    parser.add_argument(
        "--fill", type=colour, default=(255, 0, 255), metavar="B,G,R", help="colour of that tool's masks (255,0,255)"
    )


def request_of(arguments: argparse.Namespace) -> Request:
    """The request that the parsed arguments make."""
    return Request(
        dataset=arguments.dataset,
        pictures=arguments.pictures,
        target=TargetName(arguments.target).target if arguments.target else None,
        limit=arguments.limit,
        candidates=tuple(arguments.model),
        threshold=arguments.threshold,
        anonymized=arguments.anonymized,
        fill=arguments.fill,
        json=arguments.json,
        picture=arguments.picture,
        gallery=arguments.gallery,
        resamples=arguments.resamples,
        seed=arguments.seed,
    )


def _candidate(text: str) -> Candidate:
    name, at, reach_px = text.partition("@")
    return Candidate(name, whole(1)(reach_px) if at else None)
