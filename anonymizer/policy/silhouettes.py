"""Whose mask may shrink from the box to the shape: who was seen in this very frame, alone, with a sure outline."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from anonymizer.geometry import iou_matrix
from anonymizer.policy.evidence import Box, Evidence
from anonymizer.policy.people import head
from anonymizer.types import Detections, Effect, Reason, Region, Shape, Silhouette, Target

SAME_IOU = 0.7  # of a mask and the silhouette's own: below, the mask is of more than this person
FACE_MARGIN = 0.3  # of a face's box, on each side


def drawn(regions: Sequence[Region], evidence: Evidence, margin: float) -> Iterator[Region]:
    """The regions, those of the effect silhouette as shapes where that is safe, boxes elsewhere.

    `margin` is that of persons. A shape comes with its head, all of the box's width, and with every face on it, found
    or expected, whatever the mask missed of them. Shapes of other frames and tracks without a detection stay boxes.
    """
    own = _own(evidence.detections)
    if not own:
        yield from regions
        return
    grown = np.array([_grown(each.box, margin) for each in own], np.float32).reshape(-1, 4)
    stale = {track.track_id for track in evidence.tracks if track.unseen_ns}
    for region in regions:
        likeness = iou_matrix(np.array([region.box], np.float32), grown)[0]
        is_person = region.effect is Effect.SILHOUETTE and region.reason is Reason.DETECTION
        if is_person and region.track_id not in stale and (likeness >= SAME_IOU).sum() == 1:
            silhouette = own[int(likeness.argmax())]
            yield dataclasses.replace(region, shape=Shape.BOX, outline=silhouette.outline)
            for box in (_head(silhouette.box, region.box, margin), *_faces_on(region.box, evidence)):
                yield dataclasses.replace(region, shape=Shape.BOX, box=box)
        else:
            yield region


def _own(found: Detections | None) -> list[Silhouette]:
    """The silhouettes of persons as they were found, not of boxes that have been changed since."""
    if found is None or not found.silhouettes:
        return []
    persons = {tuple(box) for box in found.boxes[found.class_ids == Target.PERSON].tolist()}
    return [silhouette for silhouette in found.silhouettes if silhouette.box in persons]


def _head(person: Box, mask: Box, margin: float) -> Box:
    """The upper part of somebody's mask, down to a margin below the head."""
    (upper,) = head(np.array([person], np.float32)).tolist()
    return mask[0], mask[1], mask[2], upper[3] + margin * (person[3] - person[1])


def _faces_on(person: Box, evidence: Evidence) -> list[Box]:
    """Every face that touches a person's box, with a margin."""
    found = [box for each in evidence.found for box in each.boxes[each.class_ids == Target.FACE].tolist()]
    found += [track.box for track in evidence.tracks if track.target is Target.FACE]
    x1, y1, x2, y2 = person
    grown = [_grown(box, FACE_MARGIN) for box in found]
    return [box for box in grown if box[0] < x2 and box[1] < y2 and box[2] > x1 and box[3] > y1]


def _grown(box: Sequence[float], margin: float) -> Box:
    x1, y1, x2, y2 = box
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    return x1 - dx, y1 - dy, x2 + dx, y2 + dy
