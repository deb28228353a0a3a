"""The command `anonymizer evaluate video`: clips with ground truth in; table, JSON and picture out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from anonymizer.clock import Clock
from anonymizer.errors import DatasetError
from anonymizer.evaluate.coverage import mask_of_plan
from anonymizer.evaluate.video.audit import Audit
from anonymizer.evaluate.video.identity import Followed, IdentityCounts, count_identities
from anonymizer.evaluate.video.judgement import FrameJudgement, judge
from anonymizer.evaluate.video.leaks import ClipScores, JudgedClip, Share, sum_up
from anonymizer.evaluate.video.other_tool import masks_of
from anonymizer.evaluate.video.picture import draw
from anonymizer.evaluate.video.rehearsal import Core, Pace, Rehearsal, Take
from anonymizer.evaluate.video.report import as_json, text_table
from anonymizer.evaluate.video.truth import ClipTruth, open_clip
from anonymizer.ports import Detector, FrameSink, Source
from anonymizer.results import write_file, write_png
from anonymizer.settings.schema import EVERY_PICTURE, Mode, PrivacySettings, Settings, TargetName
from anonymizer.track.tracker import Tracker
from anonymizer.types import Detections, Frame, Size, Target, TrackState


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure and where to write it; None means as the settings say."""

    clips: tuple[Path, ...]  # files, or folders of a clip and its ground truth
    truth: Path | None = None  # the ground truth, if there is only one clip
    target: Target | None = None  # None: the only one that is labelled
    model: str | None = None
    mode: Mode | None = None
    lookahead_ms: int | None = None
    tracking: bool = True
    pace: Pace = field(default_factory=Pace)
    anonymized: Path | None = None  # another tool's clip
    fill: tuple[int, int, int] = (255, 0, 255)  # B, G, R of that tool's masks
    json: Path | None = None
    picture: Path | None = None


class Studio(Protocol):
    """Makes the parts of the daemon through which a clip is played."""

    def source(self, clip: Path) -> Source:
        """The clip, read as fast as possible; not started."""
        ...

    def detector(self, settings: Settings, target: Target, *, strict: bool) -> Detector:
        """Of one target, as the daemon makes it for a camera in that mode; not started; raises ModelError."""
        ...

    def auditor(self, settings: Settings) -> Detector:
        """The audit's detector; not started; raises ModelError."""
        ...

    def core(
        self,
        settings: Settings,
        privacy: PrivacySettings,
        *,
        submit: Callable[[Frame], None],
        sink: FrameSink,
        clock: Clock,
    ) -> Core:
        """The core of a camera, as the daemon makes it."""
        ...


def evaluate_video(request: Request, settings: Settings, studio: Studio) -> str:
    """Measure, write the files that were asked for, and return the table; raises an AnonymizerError."""
    cv2.setNumThreads(1)
    if request.truth is not None and len(request.clips) > 1:
        raise DatasetError("--truth belongs to one clip: give several as folders that hold a clip and its gt.txt each")
    if request.anonymized is not None and len(request.clips) > 1:
        raise DatasetError("--anonymized belongs to one clip: measure several one after another")
    clips = [open_clip(path, request.truth, request.target) for path in request.clips]
    if len({clip.target for clip in clips}) > 1:
        raise DatasetError("some clips label faces, others persons: measure them separately")
    if request.anonymized is not None:
        scores = sum_up(request.anonymized.name, [judge_pixels(clips[0], request.anonymized, request.fill)])
    else:
        scores = _rehearsed(request, clips, settings, studio)
    if request.json:
        write_file(request.json, as_json([scores]).encode())
    if request.picture:
        write_png(request.picture, draw([scores]))
    return text_table([scores])


def _rehearsed(request: Request, clips: list[ClipTruth], settings: Settings, studio: Studio) -> ClipScores:
    target = clips[0].target
    settings, privacy = _adapted(request, settings, target)
    name = f"{privacy.mode}, look-ahead {privacy.effective_lookahead_ms} ms" if request.tracking else "no tracking"
    is_strict = privacy.mode is Mode.STRICT
    with contextlib.ExitStack() as stack:
        detector = stack.enter_context(contextlib.closing(studio.detector(settings, target, strict=is_strict)))
        detector.start()
        auditor = None
        if settings.audit.enabled and target is Target.FACE:
            auditor = stack.enter_context(contextlib.closing(studio.auditor(settings)))
            auditor.start()
        crew = Crew(studio, detector, auditor, settings)
        return sum_up(name, [rehearse(clip, crew, privacy, request.pace) for clip in clips])


def _adapted(request: Request, settings: Settings, target: Target) -> tuple[Settings, PrivacySettings]:
    """The settings as the request changes them, and the privacy section to measure: of one target alone."""
    if request.model is not None:
        key = f"{target.name.lower()}_model"
        settings = settings.model_copy(update={"detect": settings.detect.model_copy(update={key: request.model})})
    changes: dict[str, object] = {"targets": (TargetName[target.name],)}
    if request.mode is not None:
        changes["mode"] = request.mode
    if request.lookahead_ms is not None:
        changes["lookahead_ms"] = request.lookahead_ms
    if not request.tracking:  # then nothing would mask people in frames that the models passed over
        changes |= {"lookahead_ms": 0, "hold_ms": 0}
        settings = settings.model_copy(
            update={"track": settings.track.model_copy(update={"looks_per_s": EVERY_PICTURE})}
        )
    return settings, settings.privacy.model_copy(update=changes)


@dataclass(frozen=True, slots=True)
class Crew:
    """What plays the clips."""

    studio: Studio
    detector: Detector  # started
    auditor: Detector | None  # started; None: there is no audit
    settings: Settings


def rehearse(clip: ClipTruth, crew: Crew, privacy: PrivacySettings, pace: Pace) -> JudgedClip:
    """Play one clip through detector and core, and judge every frame; raises an AnonymizerError."""
    studio, settings = crew.studio, crew.settings
    audit = None if crew.auditor is None else Audit(crew.auditor, round(settings.audit.interval_s * 1e9))
    source = studio.source(clip.clip)
    with contextlib.closing(source):
        source.start()
        take = Rehearsal(
            source,
            crew.detector,
            lambda submit, sink, clock: studio.core(settings, privacy, submit=submit, sink=sink, clock=clock),
            pace,
            time.process_time_ns,
            audit,
        ).perform()
    if not take.shown:
        raise DatasetError(f"{clip.clip}: nothing of it would have been published: is it a video?")
    _must_match(clip, len(take.times_ns))
    frames = list(_judged(clip, take))
    return JudgedClip(
        clip.target,
        frames,
        identities=_identities(frames, take, settings) if privacy.hold_ms else None,
        cpu_ms=take.spent.total / 1e6 / len(frames),
        delay_ms=float(np.mean([shown.delay_ns for shown in take.shown])) / 1e6,
        audit=None if audit is None else Share(audit.findings, audit.pictures),
    )


def judge_pixels(clip: ClipTruth, anonymized: Path, fill: tuple[int, int, int]) -> JudgedClip:
    """Judge the clip that another tool made of this one, by its pixels alone; raises DatasetError."""
    frames = []
    for number, (time_ns, mask) in enumerate(masks_of(anonymized, clip.clip, fill), 1):
        truth = clip.at(number, Size(mask.shape[1], mask.shape[0]))
        frames.append(judge(truth, clip.target, time_ns, mask, None))
    _must_match(clip, len(frames))
    return JudgedClip(clip.target, frames)


def _must_match(clip: ClipTruth, frames: int) -> None:
    """Raises DatasetError if frames after the end of the clip are labelled: earlier ones may be missing as well."""
    labelled = max(clip.rows, default=0)
    if labelled > frames:
        raise DatasetError(
            f"{clip.clip}: the ground truth labels frame {labelled}, but {frames} frames can be read: "
            "take the truth of this very clip, or cut both alike"
        )


def _judged(clip: ClipTruth, take: Take) -> Iterator[FrameJudgement]:
    shown = {each.seq: each for each in take.shown}
    size = take.shown[0].size
    for seq, time_ns in enumerate(take.times_ns):
        each, found = shown.get(seq), take.found.get(seq)
        truth = clip.at(seq + 1, size)
        if each is None:
            yield judge(truth, clip.target, time_ns, None, found)
        else:
            mask = mask_of_plan(each.plan, each.size)
            yield judge(truth, clip.target, time_ns, mask, found, each.plan.whole_frame)


def _identities(frames: Iterable[FrameJudgement], take: Take, settings: Settings) -> IdentityCounts:
    """How well the tracker kept identities, by its confirmed tracks that a detection supports."""
    tracker = Tracker(settings.track, settings.privacy.hold_ms * 1_000_000)

    def followed(seq: int, time_ns: int) -> Followed:
        found: Detections | None = take.found.get(seq)
        tracks = tracker.update(found, time_ns, take.poses[seq]) if found is not None else ()
        own = [track for track in tracks if not track.unseen_ns and track.state is TrackState.CONFIRMED]
        boxes = np.array([track.box for track in own], np.float32).reshape(-1, 4)
        return Followed(boxes, np.array([track.track_id for track in own], np.int32))

    return count_identities((frame.truth, followed(seq, frame.time_ns)) for seq, frame in enumerate(frames))
