"""Who is named by what is around a filled face: hair, clothes, the place, and the mask's own shape.

    nice .venv/bin/python -m scripts.bench.surroundings PEOPLE [--height 96]

PEOPLE is a folder as for `anonymizer evaluate attack`, whose attackers see no more than the face. Here every face is
filled, and somebody who has other pictures of everybody, filled likewise, compares all that is published within 1.3
heights of the face: the person with the nearest picture is named, or the one whose face ridge regression learned to
guess from it. Pictures of one person are often of one day and place, which is what this finds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from anonymizer import __version__
from anonymizer.attack.attackers import Evidence, Ranks, ranked, restored
from anonymizer.attack.masking import CHIP_PX, Look, published
from anonymizer.attack.people import Face, persons_of, read_people
from anonymizer.attack.rates import rate
from anonymizer.attack.trial import Embed, default_looks
from anonymizer.cli import SURE_FACE
from anonymizer.clock import SystemClock
from anonymizer.detectors import make_detector
from anonymizer.identify.calibration import MODEL
from anonymizer.models import make_embedder
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.settings.schema import Settings, TargetName
from anonymizer.types import F32, U8
from anonymizer.zoo import Zoo

SIDE_PX = 48  # to which windows are scaled
ABOVE, BELOW = slice(0, 14), slice(40, SIDE_PX)  # rows of them: hair, and clothes


def attacks(faces: Sequence[Face], height_px: int, embed: Embed) -> Mapping[str, Ranks]:
    """By what is compared the place at which each face's own person is named."""
    fill = next(look for look in default_looks() if look.name == "fill")
    everyone = np.array([face.person for face in faces])
    windows = np.stack([_window(face, fill, height_px) for face in faces])
    clear = np.stack([embed(_chip(face)) for face in faces])
    aspects = np.array([[(face.box[2] - face.box[0]) / (face.box[3] - face.box[1])] for face in faces], np.float32)
    evidence = Evidence(tuple(everyone.tolist()), clear, clear, clear, windows[:, None])
    return {
        "all around the face": _nearest(windows, everyone),
        "all around the face, ridge regression": ranked(restored(evidence), clear, everyone),
        "above it": _nearest(windows[:, ABOVE], everyone),
        "below it": _nearest(windows[:, BELOW], everyone),
        "how wide the mask is for its height": ranked(aspects, aspects, everyone),
    }


def _nearest(pictures: U8, everyone: np.ndarray) -> Ranks:
    pixels: F32 = pictures.reshape(len(pictures), -1).astype(np.float32)
    return ranked(pixels, pixels, everyone)


def _window(face: Face, look: Look, height_px: int) -> U8:
    shown, _ = next(published(face, look, height_px, 1, np.random.default_rng(0)))
    return np.asarray(cv2.resize(shown, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _chip(face: Face) -> U8:
    return next(published(face, Look("clear", None), CHIP_PX, 1, np.random.default_rng(0)))[1]


def as_lines(places: Mapping[str, Ranks], faces: Sequence[Face]) -> list[str]:
    """A Markdown table."""
    people = len(persons_of(faces))
    lines = [
        f"| {len(faces)} faces of {people} people; who guesses names {100 / people:.1f} % | named right |",
        "|---|---|",
    ]
    for what, each in places.items():
        first = rate((each == 0).tolist(), [face.person for face in faces])
        lines.append(f"| {what} | {100 * first.share:.0f} % ({100 * first.low:.0f}-{100 * first.high:.0f}) |")
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("--height", type=int, default=96, help="of the faces in pixels")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    detect = Settings().detect.model_copy(update={"face_threshold": SURE_FACE})
    clock, meter = SystemClock(), PrometheusMeter(version=__version__, runtime="")
    with make_detector(detect, frozenset({TargetName.FACE}), is_flat=True, clock=clock, meter=meter) as detector:
        faces = read_people(options.people, detector.detect)
    with make_embedder(Zoo().embedders.verify(MODEL)) as embedder:
        print("\n".join(as_lines(attacks(faces, options.height, embedder.embed_chip), faces)))


if __name__ == "__main__":
    main()
