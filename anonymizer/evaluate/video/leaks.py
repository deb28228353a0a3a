"""Sums up judged clips: how many people are bare, how often, and for how long."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from anonymizer.evaluate.scores import BINS, HeightBin
from anonymizer.evaluate.video.identity import IdentityCounts
from anonymizer.evaluate.video.judgement import FrameJudgement
from anonymizer.types import Reason, Target

GAP_NS = 1_000_000_000  # longest gap between two detections that counts for in_gaps
ESTABLISHED = 2  # detections after which somebody is known


@dataclass(frozen=True, slots=True)
class JudgedClip:
    """All frames of one clip, in order."""

    target: Target
    frames: Sequence[FrameJudgement]
    identities: IdentityCounts | None = None  # None: nothing was tracked
    cpu_ms: float | None = None  # a frame; None: unknown
    delay_ms: float | None = None  # mean, on the simulated clock
    audit: Share | None = None  # pictures in which the audit found a bare face; None: there was no audit


@dataclass(frozen=True, slots=True)
class Share:
    """`part` of `whole`."""

    part: int
    whole: int

    def __add__(self, other: Share) -> Share:
        return Share(self.part + other.part, self.whole + other.whole)

    @property
    def value(self) -> float | None:
        """0-1; None if the whole is 0."""
        return self.part / self.whole if self.whole else None


@dataclass(frozen=True, slots=True)
class Run:
    """Somebody is bare in successive published frames, each of which is visible until the next one comes."""

    frames: int = 0
    duration_ns: int = 0


@dataclass(frozen=True, slots=True)
class ClipScores:
    """One way of masking on one or more clips."""

    name: str
    target: Target
    frames: int
    withheld: int  # frames never published, which count for none of the shares below
    leak: Share  # bare of all people, or faces, in all published frames
    head_leak: Share  # the same for heads
    by_height: dict[HeightBin, Share]
    leaked_tracks: Share  # somebody is bare in one frame or more
    longest: Run
    in_gaps: Share  # bare of people already known who are undetected for at most GAP_NS
    over_mask: float  # mean over the published frames
    whole_frames: dict[Reason, int]
    identities: IdentityCounts | None
    cpu_ms: float | None
    delay_ms: float | None
    audit: Share | None  # pictures in which the audit found a bare face, of those it looked at
    leaks_by_frame: tuple[tuple[float, ...], ...] = field(repr=False)  # of each clip: share bare in each frame


def sum_up(name: str, clips: Sequence[JudgedClip]) -> ClipScores:
    """The scores of one or more clips; every judged person in every published frame has the same weight."""
    frames = [frame for clip in clips for frame in clip.frames]
    shown = [frame for frame in frames if frame.is_shown]
    everybody = [person for clip in clips for person in _paths(clip.frames)]
    people = [path for person in everybody if (path := [step for step in person if step.is_shown])]
    runs = [run for person in people for run in _runs(person)]
    identities = [clip.identities for clip in clips if clip.identities is not None]
    audits = [clip.audit for clip in clips if clip.audit is not None]
    return ClipScores(
        name=name,
        target=clips[0].target,
        frames=len(frames),
        withheld=len(frames) - len(shown),
        leak=_sum(Share(int(frame.bare.sum()), int(frame.truth.judged.sum())) for frame in shown),
        head_leak=_sum(Share(int(frame.bare_head.sum()), int(frame.truth.judged.sum())) for frame in shown),
        by_height={heights: _sum(_of_height(frame, heights) for frame in shown) for heights in BINS},
        leaked_tracks=Share(sum(any(step.bare for step in person) for person in people), len(people)),
        longest=max(runs, key=lambda run: (run.duration_ns, run.frames), default=Run()),
        in_gaps=_sum(_gap(person) for person in everybody),
        over_mask=float(np.mean([frame.over_mask for frame in shown])) if shown else 0.0,
        whole_frames=dict(Counter(frame.whole_frame for frame in frames if frame.whole_frame is not None)),
        identities=sum(identities, IdentityCounts()) if identities else None,
        cpu_ms=_mean([clip.cpu_ms for clip in clips]),
        delay_ms=_mean([clip.delay_ms for clip in clips]),
        audit=_sum(audits) if audits else None,
        leaks_by_frame=tuple(tuple(_share_bare(frame) for frame in clip.frames) for clip in clips),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """One judged person in one frame."""

    number: int  # of the frame among those published
    time_ns: int
    until_ns: int  # when the next published frame comes, or the clip ends
    is_shown: bool
    bare: bool
    seen: bool


def _paths(frames: Sequence[FrameJudgement]) -> list[list[_Step]]:
    """Each judged person's steps through one clip."""
    paths: dict[int, list[_Step]] = defaultdict(list)
    numbers = np.cumsum([frame.is_shown for frame in frames]).tolist()
    for frame, number, until_ns in zip(frames, numbers, _ends_ns(frames), strict=True):
        for row in np.flatnonzero(frame.truth.judged).tolist():
            bare, seen = bool(frame.bare[row]), bool(frame.seen[row])
            step = _Step(number, frame.time_ns, until_ns, frame.is_shown, bare, seen)
            paths[int(frame.truth.identities[row])].append(step)
    return list(paths.values())


def _ends_ns(frames: Sequence[FrameJudgement]) -> list[int]:
    """When the next published frame replaces each frame; the last one lasts as long as the one before it."""
    times = [frame.time_ns for frame in frames]
    next_ns = 2 * times[-1] - times[-2] if len(times) > 1 else sum(times)
    ends: list[int] = []
    for frame in reversed(frames):
        ends.append(next_ns)
        next_ns = frame.time_ns if frame.is_shown else next_ns
    return ends[::-1]


def _runs(path: Sequence[_Step]) -> Iterable[Run]:
    """The runs in which somebody is bare; every step is of a published frame."""
    first: _Step | None = None
    for step, following in zip(path, [*path[1:], None], strict=True):
        if not step.bare:
            continue
        first = first or step
        if following is None or not following.bare or following.number != step.number + 1:
            yield Run(step.number - first.number + 1, step.until_ns - first.time_ns)
            first = None


def _gap(path: Sequence[_Step]) -> Share:
    """Bare in published frames between two detections, after somebody was detected ESTABLISHED times."""
    at = [index for index, step in enumerate(path) if step.seen]
    bare = count = 0
    for before, after in zip(at[ESTABLISHED - 1 :], at[ESTABLISHED:], strict=False):
        if path[after].time_ns - path[before].time_ns <= GAP_NS:
            missed = [step for step in path[before + 1 : after] if step.is_shown]
            bare, count = bare + sum(step.bare for step in missed), count + len(missed)
    return Share(bare, count)


def _of_height(frame: FrameJudgement, heights: HeightBin) -> Share:
    height = frame.truth.boxes[:, 3] - frame.truth.boxes[:, 1]
    chosen = frame.truth.judged & (height >= heights.least_px) & (height < heights.below_px)
    return Share(int((frame.bare & chosen).sum()), int(chosen.sum()))


def _share_bare(frame: FrameJudgement) -> float:
    return Share(int(frame.bare.sum()), int(frame.truth.judged.sum())).value or 0.0


def _sum(shares: Iterable[Share]) -> Share:
    return sum(shares, Share(0, 0))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
