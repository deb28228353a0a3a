"""Larger boxes for what was not seen in the very frame: what load costs in certainty is paid in mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anonymizer.types import Detections, Track


def widened(tracks: tuple[Track, ...], growth: float) -> tuple[Track, ...]:
    """The tracks with boxes grown on each side by this fraction of their width and height."""
    if not growth:
        return tracks
    return tuple(replace(track, box=_grown(track.box, growth)) for track in tracks)


def widened_detections(found: Detections | None, growth: float) -> Detections | None:
    """The same of detections; their boxes may then reach over the frame's edge."""
    if found is None or not growth:
        return found
    margins = growth * (found.boxes[:, 2:] - found.boxes[:, :2])
    boxes = np.concatenate([found.boxes[:, :2] - margins, found.boxes[:, 2:] + margins], axis=1)
    return replace(found, boxes=boxes.astype(np.float32))


def _grown(box: tuple[float, float, float, float], growth: float) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    dx, dy = growth * (x2 - x1), growth * (y2 - y1)
    return x1 - dx, y1 - dy, x2 + dx, y2 + dy
