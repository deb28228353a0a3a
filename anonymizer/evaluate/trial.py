"""What a detector, or another tool, made of one labelled picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anonymizer.errors import DatasetError, InvalidOutputError
from anonymizer.evaluate.coverage import (
    FACE_COVERED,
    HEAD_COVERED,
    PERSON_COVERED,
    covered_share,
    heads,
    mask_of_colour,
    mask_of_plan,
    over_mask_share,
)
from anonymizer.evaluate.dataset import Dataset
from anonymizer.evaluate.sample import Flags, Sample, load_picture
from anonymizer.geometry import area, clip
from anonymizer.policy import Evidence, Policy
from anonymizer.ports import Detector
from anonymizer.stills import frame_of
from anonymizer.types import F32, U8, Detections, Frame, Reason, Size, Target

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
CAMERA_ID = "evaluate"
FILL_TOLERANCE = 12  # levels of a channel by which a lossy file may miss the fill colour


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One judged picture with N labels and D detections."""

    boxes: F32  # (N, 4) ground truth, cut at the picture's edge
    ignored: Flags  # (N,)
    crowd: Flags  # (N,)
    bare: Flags  # (N,) masks cover too little of it
    bare_head: Flags  # (N,) masks cover too little of the person's head; for faces the same as bare
    over_mask: float  # share of the picture that is masked outside all labels
    found: F32  # (D, 4) detections by falling score
    scores: F32  # (D,)
    counted: F32  # (K, 4) the detections that are masked, by falling score
    cpu_ns: int  # spent in the detector; 0: unknown


def try_detector(
    dataset: Dataset, masking: Detector, curve: Detector, policy: Policy, *, cpu_ns: Callable[[], int]
) -> Iterator[Trial]:
    """Run two started detectors of one model: `masking` as in the daemon, `curve` with all weak detections.

    One cannot serve for both, because weak parts of a box seen in tiles would be united with strong ones. Masks are
    the policy's; invalid output masks the whole picture, as in the daemon. `cpu_ns` reads the CPU time of this process;
    only `masking` is timed. Frames have the camera id CAMERA_ID. Raises DatasetError, ModelError.
    """
    for seq, sample in enumerate(dataset.samples):
        frame = _frame(sample, seq)
        begun_ns = cpu_ns()
        seen = _detect(masking, frame, dataset.target)
        spent_ns = cpu_ns() - begun_ns
        plan = policy.decide(
            Evidence(
                seq=seq,
                size=frame.size,
                suspect=False,
                detections=seen,
                later=None,
                tracks=(),
                detection_age_ns=0,
                fault=Reason.INVALID_OUTPUT if seen is None else None,
            )
        )
        found = _detect(curve, frame, dataset.target) or _nothing(frame)
        counted = _nothing(frame) if seen is None else seen
        yield _judge(sample, dataset.target, mask_of_plan(plan, frame.size), found, counted, spent_ns)


def try_pictures(dataset: Dataset, folder: Path, fill: tuple[int, int, int]) -> Iterator[Trial]:
    """Judge pictures that another tool masked with one solid colour (B, G, R); raises DatasetError.

    The pictures should be lossless: JPEG blurs the rim of a mask by a pixel or two, which counts as bare.
    """
    for seq, sample in enumerate(dataset.samples):
        original = sample.load()
        anonymized = _masked_picture(folder, sample)
        if anonymized.shape != original.shape:
            raise DatasetError(
                f"{folder}: {sample.name} has another size than the original: measure pictures that were not resized"
            )
        mask = mask_of_colour(anonymized, original, fill, FILL_TOLERANCE)
        frame = _frame(sample, seq)
        mask = mask[: frame.size.height, : frame.size.width]
        yield _judge(sample, dataset.target, mask, _nothing(frame), _nothing(frame), 0)


def _masked_picture(folder: Path, sample: Sample) -> U8:
    name = folder / sample.name
    for suffix in (name.suffix, *_SUFFIXES):
        if name.with_suffix(suffix).is_file():
            return load_picture(name.with_suffix(suffix))
    raise DatasetError(f"{name}: is missing; every picture of the data set needs its masked one, of the same name")


def _frame(sample: Sample, seq: int) -> Frame:
    """The picture as a frame of a camera; raises DatasetError."""
    picture = sample.load()
    height, width = picture.shape[:2]
    if min(height, width) < 2:
        raise DatasetError(f"{sample.name}: a picture of {width}x{height} is too small: remove it from the labels")
    return frame_of(picture, CAMERA_ID, seq)


def _detect(detector: Detector, frame: Frame, target: Target) -> Detections | None:
    """The detections of one target; None if the model's output is invalid."""
    try:
        found = detector.detect(frame)
    except InvalidOutputError:
        return None
    own = found.class_ids == int(target)
    return dataclasses.replace(found, boxes=found.boxes[own], scores=found.scores[own], class_ids=found.class_ids[own])


def _nothing(frame: Frame) -> Detections:
    boxes, scores, class_ids = np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32)
    return Detections(frame.camera_id, frame.seq, frame.epoch, boxes, scores, class_ids)


def _judge(sample: Sample, target: Target, mask: Flags, found: Detections, counted: Detections, cpu_ns: int) -> Trial:
    boxes = clip(sample.boxes, Size(mask.shape[1], mask.shape[0]))
    inside = area(boxes) > 0
    boxes = boxes[inside]
    least = FACE_COVERED if target is Target.FACE else PERSON_COVERED
    bare = covered_share(mask, boxes) < least
    bare_head = bare if target is Target.FACE else covered_share(mask, heads(boxes)) < HEAD_COVERED
    order = np.argsort(-found.scores, kind="stable")
    return Trial(
        boxes=boxes,
        ignored=sample.ignored[inside],
        crowd=sample.crowd[inside],
        bare=bare,
        bare_head=bare_head,
        over_mask=over_mask_share(mask, boxes),
        found=found.boxes[order],
        scores=found.scores[order],
        counted=counted.boxes[np.argsort(-counted.scores, kind="stable")],
        cpu_ns=cpu_ns,
    )
