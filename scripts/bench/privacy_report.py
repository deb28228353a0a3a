"""Writes docs/privacy-report.md: what gets out in video, by size, mode and look-ahead, beside deface in the same run.

    nice .venv/bin/python -m scripts.bench.privacy_report DATA [--clips 14] [--seconds 2.4]

DATA holds `faces/faces.json`, from whose pictures the clips are made, and `tracking/TUD-Campus`. Every clip is played
through the daemon's own detector, tracker, look-ahead, policy and redactor on a simulated clock, as `anonymizer
evaluate video` does; the models look at each frame once, and every way of masking gets the same detections. deface,
installed into .cache, masks the same decoded frames, stored without loss; they stay there, so that an interrupted run
goes on where it stopped. Both use one thread; CPU is process time.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from anonymizer import __version__
from anonymizer.benchmark.stages import quiet_meter
from anonymizer.evaluate.video.command import Crew, judge_pixels, rehearse
from anonymizer.evaluate.video.judgement import FrameJudgement
from anonymizer.evaluate.video.leaks import ClipScores, JudgedClip, Share, sum_up
from anonymizer.evaluate.video.picture import draw
from anonymizer.evaluate.video.rehearsal import Pace
from anonymizer.evaluate.video.truth import ClipTruth, open_clip
from anonymizer.ports import Detector
from anonymizer.settings.schema import EVERY_PICTURE, LOOKS_PER_S, Mode, PrivacySettings, Settings, TargetName
from anonymizer.studio import RehearsalStudio
from anonymizer.types import Detections, Frame, Target
from scripts.bench.load import as_lines, under_load
from scripts.bench.tables import DEFACE, FILL, ONE_THREAD, deface_python
from scripts.clips.pan import Film, Still, make_clip, read_stills

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache/privacy"
REPORT = ROOT / "docs/privacy-report.md"
SEED = 7


@dataclass(frozen=True)
class Way:
    """One way of masking the same detections."""

    name: str
    changes: dict[str, object] = field(default_factory=dict)  # of the settings' privacy section
    looks_per_s: float | None = None  # None: as shipped


OTHER_RATES = (
    Way("every frame looked at", looks_per_s=EVERY_PICTURE),
    Way("5 looks a second", looks_per_s=5),
    Way("3 looks a second", looks_per_s=3),
)
WAYS = (
    Way("as shipped"),
    Way("strict", {"mode": Mode.STRICT}),
    Way("live (no look-ahead)", {"mode": Mode.LIVE}),
    *OTHER_RATES,
    Way("no tracking", {"mode": Mode.LIVE, "hold_ms": 0}, looks_per_s=EVERY_PICTURE),
)
AUDIT_S = 0.5  # between two looks of the audit; a third of the default, for the clips are short
SPEEDS = (0.02, 0.1, 0.2, 0.5)  # widths a second: up to each, and more than the one before, is a row of a table


@dataclass(frozen=True)
class Measured:
    """Every way of masking on the same clips."""

    scores: list[ClipScores]
    judged: dict[str, list[JudgedClip]]  # by the name of the way


class RecordedDetector:
    """Lets a detector look at each frame of a clip once and repeats its answers."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._answers: dict[tuple[Path, int], Detections] = {}
        self.clip = Path()

    def start(self) -> None:
        """Load the models."""
        self._detector.start()

    def detect(self, frame: Frame) -> Detections:
        """What was found when this frame of the clip was first seen."""
        key = (self.clip, frame.seq)
        if key not in self._answers:
            self._answers[key] = self._detector.detect(frame)
        return replace(self._answers[key], seq=frame.seq, epoch=frame.epoch, camera_id=frame.camera_id)

    def close(self) -> None:
        """Free the models."""
        self._detector.close()


def face_clips(labels: Path, count: int, seconds: float) -> list[ClipTruth]:
    """The clips of the seed, made now or found in the cache."""
    film = Film(seconds=seconds)
    stills = read_stills(labels)
    chosen = np.random.default_rng(SEED).permutation(len(stills))[:count].tolist()
    clips = []
    for number, at in enumerate(chosen, 1):
        folder = CACHE / f"clips-{_recipe(seconds)}" / f"{number:02}"
        if not (folder / "gt.txt").exists():
            path, faces, judged = stills[at]
            picture = np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), np.uint8)
            make_clip(Still(picture, faces, judged), film, folder, np.random.default_rng([SEED, number]))
        clips.append(open_clip(folder, None, None))
    return clips


def _recipe(seconds: float) -> str:
    """What the clips depend on beside the pictures."""
    code = [(ROOT / "scripts/clips" / name).read_bytes() for name in ("flight.py", "pan.py")]
    return hashlib.sha256(b"".join([*code, f"{SEED} {seconds}".encode()])).hexdigest()[:12]


def own_scores(clips: Sequence[ClipTruth], settings: Settings) -> Measured:
    """Every way of masking; those that repeat the detections of another one have no cost."""
    target = clips[0].target
    settings = settings.model_copy(update={"audit": settings.audit.model_copy(update={"interval_s": AUDIT_S})})
    studio = RehearsalStudio(quiet_meter())
    measured = Measured([], {})
    with contextlib.ExitStack() as stack:
        auditor = studio.auditor(settings) if target is Target.FACE else None
        if auditor is not None:
            stack.enter_context(contextlib.closing(auditor)).start()
        detectors: dict[tuple[bool, float | None], RecordedDetector] = {}
        for way in WAYS:
            privacy = _privacy(settings, target, way)
            key = (privacy.mode is Mode.STRICT, way.looks_per_s)
            is_fresh = key not in detectors
            if is_fresh:
                inner = studio.detector(settings, target, strict=key[0])
                detectors[key] = stack.enter_context(contextlib.closing(RecordedDetector(inner)))
                detectors[key].start()
            detector = detectors[key]
            track = settings.track.model_copy(update={"looks_per_s": way.looks_per_s})
            crew = Crew(studio, detector, auditor, settings.model_copy(update={"track": track}))
            judged = []
            for clip in clips:
                detector.clip = clip.clip
                judged.append(rehearse(clip, crew, privacy, Pace()))
            score = sum_up(way.name, judged)
            measured.judged[way.name] = judged
            measured.scores.append(score if is_fresh else replace(score, cpu_ms=None))
            print(f"{target.name.lower()}s, {way.name}: leak {score.leak.value}", flush=True)
    return measured


def speed_table(measured: Measured) -> list[str]:
    """Leaks by how fast the camera turns, as the faces tell that stand still before it."""
    ways = (WAYS[0].name, WAYS[-1].name)
    heads = [f"up to {limit:g}" for limit in SPEEDS]
    lines = [f"| widths a second | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|"]
    for name in ways:
        leaks = [Share(0, 0)] * len(SPEEDS)
        for clip in measured.judged[name]:
            for before, frame in zip(clip.frames, clip.frames[1:], strict=False):
                row = int(np.searchsorted(SPEEDS, _turn(before, frame)))
                if row < len(SPEEDS):
                    leaks[row] += Share(int(frame.bare.sum()), int(frame.truth.judged.sum()))
        cells = [f"{_percent(leak.value)} of {leak.whole}" for leak in leaks]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _turn(before: FrameJudgement, frame: FrameJudgement) -> float:
    """Speed of the camera in picture widths a second; 0 without a face in both frames."""
    truth, known = frame.truth, dict(zip(before.truth.identities.tolist(), before.truth.boxes, strict=True))
    pairs = zip(truth.identities.tolist(), truth.boxes, strict=True)
    steps = [(box - known[identity]) for identity, box in pairs if identity in known]
    if not steps:
        return 0.0
    shifts = [float(np.hypot(step[0] + step[2], step[1] + step[3]) / 2) for step in steps]
    return float(np.median(shifts)) / Film().size.width / ((frame.time_ns - before.time_ns) / 1e9)


def _privacy(settings: Settings, target: Target, way: Way) -> PrivacySettings:
    return settings.privacy.model_copy(update={"targets": (TargetName[target.name],), **way.changes})


def deface_scores(clips: Sequence[ClipTruth]) -> ClipScores:
    """deface on the same frames, its masks read from its pixels in its favour."""
    python = deface_python()
    jobs: list[tuple[str, str]] = []
    for clip in clips:
        folder = clip.clip.parent
        jobs += [(str(path), str(folder / DEFACE[0] / path.name)) for path in _frames(clip.clip, folder / "plain")]
    program = [str(python), str(Path(__file__).with_name("deface_pictures.py")), ",".join(map(str, FILL))]
    done = subprocess.run(
        program, input=json.dumps(jobs), stdout=subprocess.PIPE, text=True, check=True, env=os.environ | ONE_THREAD
    )
    judged = [judge_pixels(clip, clip.clip.parent / DEFACE[0] / "%06d.png", FILL) for clip in clips]
    return replace(sum_up(DEFACE[0].replace("==", " "), judged), cpu_ms=json.loads(done.stdout)["cpu_ms"])


def _frames(clip: Path, folder: Path) -> list[Path]:
    """The clip's pictures as files."""
    folder.mkdir(exist_ok=True)
    reader = cv2.VideoCapture(str(clip))
    paths: list[Path] = []
    while (answer := reader.read())[0]:
        paths.append(folder / f"{len(paths):06}.png")
        cv2.imwrite(str(paths[-1]), answer[1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    reader.release()
    return paths


def as_markdown(
    faces: Sequence[ClipScores],
    persons: Sequence[ClipScores],
    speeds: Sequence[str],
    load: Sequence[str],
    clips: int,
    settings: Settings,
) -> str:
    """The report; `speeds` and `load` are tables."""
    detect, privacy = settings.detect, settings.privacy
    lines = [
        "# Privacy report",
        "",
        "What gets out in video, as measured; made by `python -m scripts.bench.privacy_report`, never by hand.",
        "",
        f"anonymizer {__version__} on {_processor()}, one thread. Faces: {detect.face_model}, persons: "
        f"{detect.person_model}, each at its own threshold; look-ahead "
        f"{privacy.lookahead_ms} ms, tracks held for {privacy.hold_ms} ms. The models look at "
        f"{LOOKS_PER_S:g} of 25 frames a second, but where it says otherwise.",
        "",
        "A face leaks in a frame when masks cover less than 90 % of its box, a person when they cover less than 80 %;",
        "faces under 10 px count neither way. A gap is a time of up to a second in which somebody who was found twice",
        "or more is not found, and then found again. Over-mask is the share of all pixels that is hidden and lies",
        "outside every label, the mean over all frames: margins, masks of nobody and frames masked whole count. Its",
        "growth is judged beside masks of every frame's own detections, without tracks and look-ahead. The audit looks",
        f"again every {AUDIT_S:g} s of a clip. Tracks are judged where the models looked: all other frames count as",
        "misses in MOTA and IDF1, which compare no ways that look at different numbers of them.",
        "",
        f"## Faces: {clips} clips, a camera that rests, pans and zooms over photographs of WIDER FACE",
        "",
        *_table(faces),
        "",
        "![who is bare over time](privacy-report-faces.png)",
        "",
        f"{faces[-1].name}: boxes 1.3 times as large, threshold 0.2, native size, ONNX Runtime; its cost is its",
        "detector's alone, ours is decoding, detector, tracker, policy and redactor; neither includes encoding.",
        "Ways that repeat the detections of another one have no cost of their own.",
        "",
        "Faces bare, by how fast the camera turns. A turn by half a width a second or more masks frames whole:",
        "",
        *speeds,
        "",
        "## Persons: TUD-Campus",
        "",
        *_table(persons),
        "",
        "![who is bare over time](privacy-report-persons.png)",
        "",
        "## Under load",
        "",
        "TUD-Campus, played back and forth at 25 frames a second on a simulated clock with ever slower detectors: four",
        "times the milliseconds is what a quarter of the CPU does. Coverage must not fall; frames and scene may.",
        "Frames that were left out count for nothing; whoever is bare is seen until the next one comes.",
        "",
        *load,
        "",
        "## Bars",
        "",
        *_bars(faces, persons),
        "",
    ]
    return "\n".join(lines)


def _table(scores: Sequence[ClipScores]) -> list[str]:
    first = scores[0]
    sizes = [heights for heights, share in first.by_height.items() if share.whole]
    bins = " / ".join(f"{heights} px" for heights in sizes)
    counts = ", ".join(f"{first.by_height[heights].whole} of {heights} px" for heights in sizes)
    head = [
        "",
        f"leak ({bins})",
        "ever bare",
        "longest bare",
        "bare in gaps",
        "over-mask",
        "masked whole",
        "audit findings",
        "id switches",
        "MOTA",
        "IDF1",
        "delay",
        "CPU ms a frame",
    ]
    rows = [head, ["---"] * len(head)]
    for score in scores:
        parts = " / ".join(_percent(score.by_height[heights].value) for heights in sizes)
        ids = score.identities
        rows.append(
            [
                score.name,
                f"**{_percent(score.leak.value)}** ({parts})",
                f"{score.leaked_tracks.part} of {score.leaked_tracks.whole}",
                f"{score.longest.frames} frames, {score.longest.duration_ns / 1e6:.0f} ms",
                f"{score.in_gaps.part} of {score.in_gaps.whole}" if score.in_gaps.whole else "",
                _percent(score.over_mask),
                f"{sum(score.whole_frames.values())} of {score.frames}",
                "" if score.audit is None else f"{score.audit.part} of {score.audit.whole}",
                "" if ids is None else str(ids.switches),
                "" if ids is None else _percent(ids.mota),
                "" if ids is None else _percent(ids.idf1),
                "" if score.delay_ms is None else f"{score.delay_ms:.0f} ms",
                "" if score.cpu_ms is None else f"{score.cpu_ms:.1f}",
            ]
        )
    caption = f"{first.frames} frames, {first.leak.whole} {first.target.name.lower()}s in them: {counts}."
    return [caption, "", *(f"| {' | '.join(cells)} |" for cells in rows)]


def _bars(faces: Sequence[ClipScores], persons: Sequence[ClipScores]) -> list[str]:
    """What was promised, what was measured."""
    lines = ["| | bar | measured | |", "|---|---|---|---|"]
    for scores in (faces, persons):
        shipped = next(score for score in scores if score.name == WAYS[0].name)
        plain = next(score for score in scores if score.name == WAYS[-1].name)
        who = f"{shipped.target.name.lower()}s"
        leak, growth = _ratio(shipped.leak.value, plain.leak.value), _ratio(shipped.over_mask, plain.over_mask)
        lines += [
            _bar(f"{who}: leak beside no tracking", "half or less", leak, 0.5),
            _bar(f"{who}: over-mask beside no tracking", "under 1.3 times", growth, 1.3),
            _bar(f"{who}: bare in gaps", "none", float(shipped.in_gaps.part), 0.0),
        ]
    other = faces[-1]
    others = {way.name for way in OTHER_RATES}
    for ours in (faces[0], *(score for score in faces if score.name in others)):
        leak, cost = _ratio(ours.leak.value, other.leak.value), _ratio(ours.cpu_ms, other.cpu_ms)
        lines += [
            _bar(f"faces, {ours.name}: leak beside deface", "a third or less", leak, 1 / 3),
            _bar(f"faces, {ours.name}: CPU beside deface", "a fifth or less", cost, 0.2),
        ]
    return lines


def _bar(what: str, bar: str, measured: float | None, most: float) -> str:
    if measured is None:
        return f"| {what} | {bar} | nothing to compare with | |"
    return f"| {what} | {bar} | {measured:.2f} | {'met' if measured <= most else 'missed'} |"


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    """Measure and write the report with its pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the labelled pictures and clips")
    parser.add_argument("--clips", type=int, default=14)
    parser.add_argument("--seconds", type=float, default=2.4, help="length of each clip")
    parser.add_argument("--out", type=Path, default=REPORT)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    began_s, settings = time.monotonic(), Settings()
    clips = face_clips(options.data / "faces/faces.json", options.clips, options.seconds)
    own, street = own_scores(clips, settings), open_clip(options.data / "tracking/TUD-Campus", None, None)
    faces, persons = [*own.scores, deface_scores(clips)], own_scores([street], settings).scores
    load = as_lines(under_load(street, settings))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = as_markdown(faces, persons, speed_table(own), load, len(clips), settings)
    options.out.write_text(text, encoding="utf-8")
    for name, scores in (("faces", faces), ("persons", persons)):
        cv2.imwrite(str(options.out.with_name(f"{options.out.stem}-{name}.png")), draw(scores))
    print(f"{options.out}: {time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    main()
