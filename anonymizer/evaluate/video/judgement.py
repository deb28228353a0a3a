"""What one published frame of a clip leaves bare."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anonymizer.evaluate.coverage import (
    FACE_COVERED,
    HEAD_COVERED,
    PERSON_COVERED,
    covered_share,
    heads,
    over_mask_share,
)
from anonymizer.evaluate.matching import NOBODY, Truth, match
from anonymizer.evaluate.sample import Flags
from anonymizer.evaluate.video.truth import FrameTruth
from anonymizer.types import Detections, Reason, Target


@dataclass(frozen=True, slots=True, eq=False)
class FrameJudgement:
    """One frame: N people or faces of the ground truth."""

    truth: FrameTruth
    time_ns: int
    bare: Flags  # (N,) judged, and masks cover too little of it
    bare_head: Flags  # (N,) masks cover too little of the person's head; for faces the same as bare
    seen: Flags  # (N,) a detection in this frame matches it
    over_mask: float  # share of the picture masked outside all labels
    whole_frame: Reason | None
    is_shown: bool  # False: it was never published


def judge(
    truth: FrameTruth,
    target: Target,
    time_ns: int,
    mask: Flags | None,
    found: Detections | None,
    whole_frame: Reason | None = None,
) -> FrameJudgement:
    """Judge a frame by its mask (H, W), None if it was not published, and its detections, None if there are none."""
    count = len(truth.boxes)
    nobody = np.zeros(count, np.bool_)
    bare = bare_head = nobody
    over_mask = 0.0
    if mask is not None:
        least = FACE_COVERED if target is Target.FACE else PERSON_COVERED
        bare = truth.judged & (covered_share(mask, truth.boxes) < least)
        bare_head = bare
        if target is Target.PERSON:
            bare_head = truth.judged & (covered_share(mask, heads(truth.boxes)) < HEAD_COVERED)
        over_mask = over_mask_share(mask, truth.boxes)
    return FrameJudgement(
        truth=truth,
        time_ns=time_ns,
        bare=bare,
        bare_head=bare_head,
        seen=nobody if found is None else _seen(truth, target, found),
        over_mask=over_mask,
        whole_frame=whole_frame,
        is_shown=mask is not None,
    )


def _seen(truth: FrameTruth, target: Target, found: Detections) -> Flags:
    """Which people or faces (N,) of the truth a detection matches."""
    own = found.class_ids == int(target)
    order = np.argsort(-found.scores[own], kind="stable")
    no_crowd = np.zeros(len(truth.boxes), np.bool_)
    taken = match(found.boxes[own][order], Truth(truth.boxes, ~truth.judged, ~truth.judged, crowd=no_crowd))
    seen = np.zeros(len(truth.boxes), np.bool_)
    seen[taken[taken != NOBODY]] = True
    return seen
