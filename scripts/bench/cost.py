"""CPU-ms a frame by stage, inference excluded, beside a pure transcode of the same clip; one core.

    .venv/bin/python scripts/bench/cost.py [--height 1080] [--frames 300] [CLIP]

Both sides decode the same file with one thread and encode with the same settings of libx264. The pipeline side runs the
classes that the daemon runs (source, letterbox, tracker, policy, redactor, encoder, hub) with detections that the real
models found beforehand, look-ahead included and in the film's own time; only the models' own time is left out.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
from av.video.frame import PictureType

from anonymizer.benchmark.film import write_film
from anonymizer.benchmark.stages import frames_of, measure_stages, quiet_meter
from anonymizer.clock import SystemClock
from anonymizer.demo.pedestrians import pedestrian_clip
from anonymizer.detectors import make_detector
from anonymizer.encode.codecs import SOFTWARE, TIME_BASE, open_codec, ticks
from anonymizer.settings.schema import EncodeSettings, Settings, TargetName
from anonymizer.types import Colour, Size


def scaled(clip: Path, height: int, frames: int, folder: Path) -> tuple[Path, int]:
    """The clip's first frames at the height, as a camera would send them."""
    out = folder / f"{height}.mp4"
    with av.open(str(clip)) as container:
        source = container.streams.video[0]
        size = Size(round(height * source.width / source.height / 16) * 16, height)
        pictures = islice(container.decode(source), frames)
        return out, write_film(out, pictures, size, Fraction(source.average_rate or 10))


def transcode_ms(clip: Path, settings: EncodeSettings) -> float:
    """CPU-ms a frame of decoding and encoding and nothing else, with key frames where the daemon puts them."""
    frames, key_due_s = 0, 0.0
    began_ns = time.process_time_ns()
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        encoder = open_codec(SOFTWARE, settings, Size(stream.width, stream.height), Colour(), 25.0)
        for frame in container.decode(stream):
            key = frame.time >= key_due_s
            key_due_s += settings.key_interval_s if key else 0
            frame.time_base, frame.pts = TIME_BASE, ticks(round(frame.time * 1e9))
            frame.pict_type = PictureType.I if key else PictureType.NONE
            encoder.encode(frame)
            frames += 1
    return (time.process_time_ns() - began_ns) / 1e6 / frames


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path, help="default: the street clip of Debian's opencv-doc")
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3, help="the fastest round of each side counts")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    settings = Settings()
    with tempfile.TemporaryDirectory() as folder:
        clip, count = scaled(options.clip or pedestrian_clip(), options.height, options.frames, Path(folder))
        targets = frozenset({TargetName.FACE, TargetName.PERSON})
        with make_detector(settings.detect, targets, clock=SystemClock(), meter=quiet_meter()) as detector:
            found = {frame.seq: detector.detect(frame) for frame in frames_of(clip)}
        plain_ms = min(transcode_ms(clip, settings.encode) for _ in range(options.rounds))
        runs = [measure_stages(clip, lambda frame: found[frame.seq], settings) for _ in range(options.rounds)]
    costs = min(runs, key=lambda run: run.total_ms)
    print(
        f"{count} frames, {options.height} lines, {costs.regions:.1f} regions a frame, preset {settings.encode.preset}"
    )
    for stage, spent_ms in costs.cpu_ms.items():
        print(f"  {stage:22s} {spent_ms:7.2f} CPU-ms a frame")
    print(f"  {'pipeline':22s} {costs.total_ms:7.2f}")
    print(f"  {'pure transcode':22s} {plain_ms:7.2f}")
    print(f"  {'ratio':22s} {costs.total_ms / plain_ms:7.2f}")


if __name__ == "__main__":
    main()
