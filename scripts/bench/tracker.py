"""CPU-ms a frame of the tracker, its look back included, with many people; one core.

    .venv/bin/python scripts/bench/tracker.py [--objects 200] [--frames 300]

People walk on straight ways with noise, one in ten is missed in each frame. What is measured is what the daemon does
for a frame: update with the detections, keep the sightings, and say who is in the frame that leaves the look-ahead.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np

from anonymizer.settings.schema import Settings
from anonymizer.track.hindsight import Hindsight
from anonymizer.track.tracker import Tracker
from anonymizer.types import Detections

FRAME_NS = 40_000_000
MISSED = 0.1


def walk(objects: int, frames: int) -> list[Detections]:
    """Detections of people of 30 to 120 px in a 4K picture."""
    rng = np.random.default_rng(1)
    place, step = rng.uniform([0, 0], [3840, 2160], (objects, 2)), rng.uniform(-3, 3, (objects, 2))
    sides = rng.uniform(30, 120, (objects, 1)) * np.array([0.8, 1.0])
    targets = rng.integers(0, 2, objects).astype(np.int32)
    found = []
    for seq in range(frames):
        place = place + step
        seen = rng.random(objects) >= MISSED
        corner = place + rng.normal(0, 0.02, place.shape) * sides
        boxes = np.concatenate([corner, corner + sides], axis=1)[seen].astype(np.float32)
        scores = rng.uniform(0.2, 0.9, len(boxes)).astype(np.float32)
        found.append(Detections("bench", seq, 0, boxes, scores, targets[seen]))
    return found


def main() -> None:
    """Print the cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=200)
    parser.add_argument("--frames", type=int, default=300)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    settings = Settings()
    hold_ns, lookahead_ns = settings.privacy.hold_ms * 1_000_000, settings.privacy.lookahead_ms * 1_000_000
    tracker, hindsight = Tracker(settings.track, hold_ns), Hindsight(hold_ns + lookahead_ns)
    forward_ns, back_ns, tracks = [], [], 0
    for found in walk(options.objects, options.frames):
        pts_ns = found.seq * FRAME_NS
        began_ns = time.process_time_ns()
        followed = tracker.update(found, pts_ns)
        tracked_ns = time.process_time_ns()
        hindsight.record(followed, pts_ns)
        hindsight.at(pts_ns - lookahead_ns // FRAME_NS * FRAME_NS, lookahead_ns)
        forward_ns.append(tracked_ns - began_ns)
        back_ns.append(time.process_time_ns() - tracked_ns)
        tracks = max(tracks, len(followed))
    print(f"{options.objects} objects, {options.frames} frames, up to {tracks} tracks; CPU-ms a frame, median and 95 %")
    for name, spent in (("tracker", forward_ns), ("look back", back_ns)):
        print(f"  {name:10s} {np.median(spent) / 1e6:6.2f} {np.percentile(spent, 95) / 1e6:6.2f}")


if __name__ == "__main__":
    main()
