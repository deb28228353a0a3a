"""What masks hide needlessly, and which part of the pipeline owes how much of it.

    nice .venv/bin/python -m scripts.bench.over_mask CLIP [CLIP ...]

A CLIP is a folder of a video and its gt.txt, all of one target. Detector, tracker, hindsight, pursuit and policy are
run as in the daemon, every frame looked at. Masks of each frame are painted in the order of the table, and a row is
what it adds outside every label, as a share of all pixels. Spread is what a mask is wider for not knowing the place for
sure; a box is one around both places of somebody found elsewhere than expected.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from anonymizer.benchmark.stages import quiet_meter
from anonymizer.errors import SourceEnded
from anonymizer.evaluate.coverage import mask_of_plan, over_mask_share
from anonymizer.evaluate.video.truth import ClipTruth, open_clip
from anonymizer.policy import Evidence, Policy
from anonymizer.ports import Detector
from anonymizer.settings.schema import Settings, TargetName
from anonymizer.studio import RehearsalStudio
from anonymizer.track.camera_motion import CameraMotion
from anonymizer.track.hindsight import Hindsight
from anonymizer.track.pursuit import Pursuit
from anonymizer.track.tracker import Tracker
from anonymizer.types import Detections, Frame, RedactionPlan, Track

MS = 1_000_000
ROWS = (
    "detections and their margin",
    "the tracks that they support",
    "gaps: boxes",
    "gaps: spread",
    "tails of tracks never seen again: boxes",
    "tails of tracks never seen again: spread",
    "before the first sighting: boxes",
    "before the first sighting: spread",
)


@dataclass(frozen=True)
class Seen:
    """One frame of a clip."""

    number: int  # from 1
    frame: Frame
    found: Detections


@dataclass(frozen=True)
class Lives:
    """When each track was first and last seen."""

    first_ns: dict[int, int]
    last_ns: dict[int, int]


def shares(clip: ClipTruth, frames: Sequence[Seen], settings: Settings) -> dict[str, float]:
    """Pixels added by each row, as a sum over frames of shares of a picture."""
    target = TargetName[clip.target.name]
    privacy = settings.privacy.model_copy(update={"targets": (target,)})
    policy, sums = Policy(privacy, settings.redact), dict.fromkeys(ROWS, 0.0)
    believed, lives = _followed(frames, settings)
    for seen, tracks in zip(frames, believed, strict=True):
        labels = clip.at(seen.number, seen.frame.size).boxes
        sofar: tuple[Track, ...] = ()
        before = 0.0
        for row, added in zip(ROWS, _rows(tracks, seen.frame.pts_ns, lives), strict=True):
            sofar = (*sofar, *added)
            after = over_mask_share(mask_of_plan(_plan(policy, seen, sofar), seen.frame.size), labels)
            sums[row] += after - before
            before = after
    return sums


def _followed(frames: Sequence[Seen], settings: Settings) -> tuple[list[tuple[Track, ...]], Lives]:
    """The tracks that count in each frame, those included that only later frames tell of."""
    hold_ns, ahead_ns = settings.privacy.hold_ms * MS, settings.privacy.lookahead_ms * MS
    span_ns = hold_ns + ahead_ns + settings.privacy.max_wait_ms * MS
    motion, tracker, hindsight = CameraMotion(), Tracker(settings.track, hold_ns), Hindsight(span_ns)
    pursuit = Pursuit(hindsight, tail_ns=settings.privacy.tail_ms * MS)
    lives = Lives({}, {})
    waiting: list[tuple[Frame, tuple[Track, ...]]] = []
    counted: list[tuple[Track, ...]] = []

    def release(until_ns: int) -> None:
        while waiting and waiting[0][0].pts_ns + ahead_ns <= until_ns:
            frame, tracks = waiting.pop(0)
            learnt = [track for track in hindsight.at(frame.pts_ns, ahead_ns, frame.pose) if track.unseen_ns]
            counted.append(pursuit.placed(frame, (later for later, _ in waiting), tracks, learnt, is_settled=True))

    for seen in frames:
        frame = replace(seen.frame, pose=motion.pose(seen.frame.planes.y))
        tracks = tracker.update(seen.found, frame.pts_ns, frame.pose)
        hindsight.record(tracks, frame.pts_ns, frame.pose)
        for track in tracks:
            if not track.unseen_ns:
                lives.first_ns.setdefault(track.track_id, frame.pts_ns)
                lives.last_ns[track.track_id] = frame.pts_ns
        waiting.append((frame, tracks))
        release(frame.pts_ns)
    release(frames[-1].frame.pts_ns + ahead_ns)
    return counted, lives


def _rows(tracks: Sequence[Track], pts_ns: int, lives: Lives) -> list[list[Track]]:
    """Which tracks each of ROWS adds."""
    kinds = defaultdict[str, list[Track]](list)
    for track in tracks:
        if not track.unseen_ns:
            kinds["supported"].append(track)
        elif lives.first_ns.get(track.track_id, pts_ns) > pts_ns:
            kinds["unborn"].append(track)
        else:  # a tail, too: the place that a track left when it went on elsewhere, which nobody ever saw
            kinds["gap" if lives.last_ns.get(track.track_id, pts_ns) > pts_ns else "tail"].append(track)
    rows: list[list[Track]] = [[], kinds["supported"]]
    for kind in ("gap", "tail", "unborn"):
        rows += [[replace(track, spread_px=(0.0, 0.0)) for track in kinds[kind]], kinds[kind]]
    return rows


def _plan(policy: Policy, seen: Seen, tracks: tuple[Track, ...]) -> RedactionPlan:
    return policy.decide(
        Evidence(
            seq=seen.found.seq,
            size=seen.frame.size,
            suspect=False,
            detections=seen.found,
            later=None,
            tracks=tracks,
            detection_age_ns=0,
            fault=None,
        )
    )


def look(clip: Path, studio: RehearsalStudio, detector: Detector) -> Iterator[Seen]:
    """Every frame of a video with its detections."""
    with contextlib.closing(studio.source(clip)) as source:
        source.start()
        for number in itertools.count(1):
            try:
                frame = source.read()
            except SourceEnded:
                return
            yield Seen(number, frame, detector.detect(frame))


def as_lines(sums: Mapping[str, float], frames: int) -> list[str]:
    """A Markdown table."""
    lines = ["| over-mask | share of all pixels |", "| --- | --- |"]
    lines += [f"| {row} | {100 * sums[row] / frames:.2f} % |" for row in ROWS]
    return [*lines, f"| together | **{100 * sum(sums.values()) / frames:.2f} %** |"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    cv2.setNumThreads(1)
    clips = [open_clip(path, None, None) for path in parser.parse_args().clips]
    settings, studio = Settings(), RehearsalStudio(quiet_meter())
    sums, frames = dict.fromkeys(ROWS, 0.0), 0
    with contextlib.closing(studio.detector(settings, clips[0].target, strict=False)) as detector:
        detector.start()
        for clip in clips:
            seen = list(look(clip.clip, studio, detector))
            added = shares(clip, seen, settings)
            sums, frames = {row: sums[row] + added[row] for row in ROWS}, frames + len(seen)
    print("\n".join(as_lines(sums, frames)))


if __name__ == "__main__":
    main()
