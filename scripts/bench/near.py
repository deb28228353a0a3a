"""Who stays bare close to the camera: as high as half of the picture or higher, often cut off or blurred.

    nice .venv/bin/python -m scripts.bench.near LABELS.json [--target person] [--model NAME] [--threshold T] [--flat]

Labelled people are cut out of their photographs so that they fill much of the height of a picture of 1280x720, at a
place of which 0.4 of them or more is in the picture; every second one is blurred besides. Faces of 120 px or more fill
0.55 to 1.1 of it, three of a photograph at most, persons of 100 px or more 0.7 to 2.0, each at eight places. Each is
looked at once, and masked as shipped. A face is bare when masks cover less than 90 % of what the picture shows of it, a
person when they cover less than 80. `--flat` asks for the whole threshold at any height. The same pictures every time.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from anonymizer.benchmark.stages import quiet_meter
from anonymizer.clock import SystemClock
from anonymizer.detectors import make_detector
from anonymizer.evaluate.coverage import FACE_COVERED, PERSON_COVERED, covered_share, mask_of_plan
from anonymizer.evaluate.sample import Flags
from anonymizer.geometry import area, clip
from anonymizer.policy import Evidence, Policy
from anonymizer.settings.schema import Settings, TargetName
from anonymizer.stills import frame_of
from anonymizer.types import F32, U8, Detections, Frame, Size, Target
from scripts.clips.pan import read_stills

SIZE = Size(1280, 720)
SEEN_SHARE = 0.4  # of who is near, at least
BLUR_PX = (1.0, 6.0)  # one sigma


@dataclass(frozen=True)
class Kind:
    """Which people are shown from close by, and how."""

    least_px: float  # of their height in the photograph: smaller ones are mush when they are so much enlarged
    a_picture: int  # people of a photograph, at most
    places: int  # of each
    heights: tuple[float, float]  # of the picture's
    covered: float  # share of them that masks must cover


KINDS = {
    Target.FACE: Kind(120.0, 3, 1, (0.55, 1.1), FACE_COVERED),
    Target.PERSON: Kind(100.0, 100, 8, (0.7, 2.0), PERSON_COVERED),
}


def close_up(picture: U8, box: F32, heights: tuple[float, float], rng: np.random.Generator) -> tuple[U8, F32] | None:
    """A picture (720, 1280, 3) of a box (4,), and the box there, clipped; None if too little of it would be seen."""
    centre, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    scale = SIZE.height * rng.uniform(*heights) / sides[1]
    window = np.array([SIZE.width, SIZE.height]) / scale
    centre = centre + rng.uniform(-0.5, 0.5, 2) * (0.9, 0.8) * window
    sigma_px = rng.uniform(*BLUR_PX) if rng.random() < 0.5 else 0.0
    shift = np.array([SIZE.width, SIZE.height]) / 2 - scale * centre
    whole = np.concatenate([scale * box[:2] + shift, scale * box[2:] + shift]).astype(np.float32)
    shown = clip(whole[None], SIZE)
    if area(shown)[0] < SEEN_SHARE * area(whole[None])[0]:
        return None
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
    flags = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
    cut = cv2.warpAffine(picture, matrix, (SIZE.width, SIZE.height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(cut, (0, 0), sigma_px) if sigma_px else cut, np.uint8), shown[0]


def close_ups(labels: Path, kind: Kind) -> Iterator[tuple[Frame, F32]]:
    """Frames, each with the box that it is about, (4,)."""

    def is_large(boxes: F32, judged: Flags) -> Flags:
        return judged & (boxes[:, 3] - boxes[:, 1] >= kind.least_px)

    for number, (path, boxes, judged) in enumerate(read_stills(labels, is_large)):
        picture = np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), np.uint8)
        for at in np.flatnonzero(is_large(boxes, judged))[: kind.a_picture].tolist():
            for place in range(kind.places):
                made = close_up(picture, boxes[at], kind.heights, np.random.default_rng([number, at, place]))
                if made is not None:
                    yield frame_of(made[0], "near", number), made[1]


def is_bare(policy: Policy, found: Detections, box: F32, covered: float) -> bool:
    """Whether masks of this one look cover less than that share of a box (4,)."""
    plan = policy.decide(
        Evidence(
            seq=found.seq,
            size=SIZE,
            suspect=False,
            detections=found,
            later=None,
            tracks=(),
            detection_age_ns=0,
            fault=None,
        )
    )
    return bool(covered_share(mask_of_plan(plan, SIZE), box[None])[0] < covered)


def only(found: Detections, target: Target) -> Detections:
    """The detections of one kind."""
    mine = found.class_ids == target
    return replace(found, boxes=found.boxes[mine], scores=found.scores[mine], class_ids=found.class_ids[mine])


def main() -> None:
    """Print a line."""
    own = Settings().detect
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--target", choices=("face", "person"), default="face")
    parser.add_argument("--model", help="of what is looked for (the default one)")
    parser.add_argument("--threshold", type=float, help="its threshold (the manifest's)")
    parser.add_argument("--flat", action="store_true", help="the whole threshold at any height")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    target = TargetName(options.target).target
    chosen = {f"{options.target}_threshold": options.threshold, "threads": 1}
    chosen |= {f"{options.target}_model": options.model} if options.model else {}
    settings, alone, both, count = Settings(), 0, 0, 0
    policy, kind = Policy(settings.privacy, settings.redact), KINDS[target]
    targets = frozenset({TargetName.FACE, TargetName.PERSON})
    detect = own.model_copy(update=chosen)
    detector = make_detector(detect, targets, is_flat=options.flat, clock=SystemClock(), meter=quiet_meter())
    with contextlib.closing(detector):
        detector.start()
        for frame, box in close_ups(options.labels, kind):
            found = detector.detect(frame)
            alone += is_bare(policy, only(found, target), box, kind.covered)
            both += is_bare(policy, found, box, kind.covered)
            count += 1
    shares = (f"{100 * bare / max(count, 1):.1f} %" for bare in (alone, both))
    print(
        "{}: of {} near {}s {} bare with masks of {}s alone, {} with those of faces and persons".format(
            getattr(detect, f"{options.target}_model"),
            count,
            options.target,
            next(shares),
            options.target,
            next(shares),
        )
    )


if __name__ == "__main__":
    main()
