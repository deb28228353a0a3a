"""Who stays bare close to the camera: faces half as high as the picture or more, many of them cut off or blurred.

    nice .venv/bin/python -m scripts.bench.near LABELS.json [--model NAME] [--threshold T] [--flat]

Every labelled face of 120 px or more, three of a picture at most, is cut out of its photograph so that it fills 0.55 to
1.1 of the height of a picture of 1280x720, at a place of which 0.4 of the face or more is in the picture; every second
one is blurred besides. Each is looked at once, and masked as shipped. A face is bare when masks cover less than 90 % of
what the picture shows of it. `--flat` asks for the whole threshold at any height. The same pictures every time.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from anonymizer.benchmark.stages import quiet_meter
from anonymizer.clock import SystemClock
from anonymizer.detectors import make_detector
from anonymizer.evaluate.coverage import FACE_COVERED, covered_share, mask_of_plan
from anonymizer.evaluate.sample import Flags
from anonymizer.geometry import area, clip
from anonymizer.policy import Evidence, Policy
from anonymizer.settings.schema import Settings, TargetName
from anonymizer.stills import frame_of
from anonymizer.types import F32, U8, Detections, Frame, Size, Target
from scripts.clips.pan import read_stills

SIZE = Size(1280, 720)
LEAST_PX = 120.0  # of a face in its photograph: smaller ones are mush when they are so much enlarged
A_PICTURE = 3
HEIGHTS = (0.55, 1.1)  # of the picture's height
SEEN_SHARE = 0.4  # of the face, at least
BLUR_PX = (1.0, 6.0)  # one sigma


def close_up(picture: U8, box: F32, rng: np.random.Generator) -> tuple[U8, F32] | None:
    """A picture (720, 1280, 3) of a face (4,), and its box there, clipped; None if too little of it would be seen."""
    centre, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    scale = SIZE.height * rng.uniform(*HEIGHTS) / sides[1]
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


def is_large(boxes: F32, judged: Flags) -> Flags:
    """Which faces (N,) can be enlarged so much."""
    return judged & (boxes[:, 3] - boxes[:, 1] >= LEAST_PX)


def close_ups(labels: Path) -> Iterator[tuple[Frame, F32]]:
    """Frames, each with the face that it is about, (4,)."""
    for number, (path, boxes, judged) in enumerate(read_stills(labels, is_large)):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        for at in np.flatnonzero(is_large(boxes, judged))[:A_PICTURE].tolist():
            made = close_up(np.asarray(picture, np.uint8), boxes[at], np.random.default_rng([number, at]))
            if made is not None:
                yield frame_of(made[0], "near", number), made[1]


def is_bare(policy: Policy, found: Detections, face: F32) -> bool:
    """Whether masks of this one look leave it bare."""
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
    return bool(covered_share(mask_of_plan(plan, SIZE), face[None])[0] < FACE_COVERED)


def only(found: Detections, target: Target) -> Detections:
    """The detections of one kind."""
    mine = found.class_ids == target
    return replace(found, boxes=found.boxes[mine], scores=found.scores[mine], class_ids=found.class_ids[mine])


def main() -> None:
    """Print a line."""
    own = Settings().detect
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--model", default=own.face_model, help=f"of faces ({own.face_model})")
    parser.add_argument("--threshold", type=float, help="of faces (the manifest's)")
    parser.add_argument("--flat", action="store_true", help="the whole threshold at any height")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    detect = own.model_copy(update={"face_model": options.model, "face_threshold": options.threshold, "threads": 1})
    settings, faces, both, count = Settings(), 0, 0, 0
    policy = Policy(settings.privacy, settings.redact)
    targets = frozenset({TargetName.FACE, TargetName.PERSON})
    detector = make_detector(detect, targets, is_flat=options.flat, clock=SystemClock(), meter=quiet_meter())
    with contextlib.closing(detector):
        detector.start()
        for frame, face in close_ups(options.labels):
            found = detector.detect(frame)
            faces += is_bare(policy, only(found, Target.FACE), face)
            both += is_bare(policy, found, face)
            count += 1
    shares = (f"{100 * bare / max(count, 1):.1f} %" for bare in (faces, both))
    print(
        "{}: of {} near faces {} bare with masks of faces alone, {} with those of persons".format(
            options.model, count, *shares
        )
    )


if __name__ == "__main__":
    main()
