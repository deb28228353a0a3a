"""Capture-to-publish latency and CPU time of the whole daemon, models included, on a real RTSP camera.

    .venv/bin/python scripts/bench/latency.py [--size 1280x720] [--fps 15] [--cores 2] [--seconds 60] [--cameras 1]
        [--lookahead-ms 0] [--looks-per-s 8] [--burners 9]

A demo camera in a process of its own (its CPU time is not counted, but it runs on the same cores), the daemon in
another, one RTSP viewer per camera. Numbers are read from the daemon's own /metrics. With burners it is measured three
times: alone, while so many busy loops compete for the cores, and after they are gone: what the governor gives up, and
what it takes back.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import yaml

from anonymizer.demo.camera import DemoCamera, DemoOptions
from anonymizer.demo.reel import Codec
from anonymizer.settings.schema import DetectSettings, PrivacySettings
from anonymizer.types import Size

WEB, RTSP = 18080, 18554
WARM_UP_S = 10


def metrics() -> dict[str, float]:
    """Every sample of /metrics by its full name."""
    with urllib.request.urlopen(f"http://127.0.0.1:{WEB}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def quantile_ms(before: dict[str, float], after: dict[str, float], quantile: float) -> float:
    """Upper bound from the histogram, interpolated within its bucket, over all cameras."""
    buckets: dict[float, float] = {}
    for name, value in after.items():
        match = re.match(r'anonymizer_capture_to_publish_seconds_bucket\{.*le="([^"]+)"', name)
        if match:
            bound = float(match[1])
            buckets[bound] = buckets.get(bound, 0) + value - before.get(name, 0)
    wanted = quantile * max(buckets.values())
    low_s = below = 0.0
    for bound, count in sorted(buckets.items()):
        if count >= wanted:
            return 1000 * (low_s + (bound - low_s) * (wanted - below) / max(count - below, 1))
        low_s, below = bound, count
    return float("inf")


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watch(url: str, stop: threading.Event) -> None:
    """A viewer that reads and forgets."""
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=(30, 10)) as viewer:
        for _packet in viewer.demux(video=0):
            if stop.is_set():
                return


@dataclass(frozen=True)
class Reading:
    """The daemon's counters at one moment."""

    metrics: dict[str, float]
    cpu_s: float

    @classmethod
    def take(cls, pid: int) -> Reading:
        """As of now."""
        return cls(metrics(), cpu_s(pid))


def report(title: str, before: Reading, after: Reading, seconds: float, cameras: int) -> None:
    """Print what happened between two readings."""

    def grown(pattern: str) -> float:
        return sum(
            value - before.metrics.get(name, 0) for name, value in after.metrics.items() if re.match(pattern, name)
        )

    frames = grown(r'anonymizer_frames_total\{.*outcome="ok",stage="publish"')
    detected = grown(r'anonymizer_frames_total\{.*outcome="ok",stage="detect"')
    skipped = grown("anonymizer_frames_total.*skipped")
    levels = [value for name, value in after.metrics.items() if name.startswith("anonymizer_governor_level")]
    print(title)
    print(f"  frames published       {frames:8.0f}  ({frames / seconds / cameras:.1f} a second and camera)")
    print(f"  frames through models  {detected:8.0f}  ({100 * detected / max(frames, 1):.0f} %)")
    print(f"  masked whole           {grown('anonymizer_whole_frame_masks_total'):8.0f}")
    print(f"  masked backwards       {grown('anonymizer_frames_masked_backwards_total'):8.0f}")
    print(f"  left out under load    {skipped:8.0f}  (level {max(levels):.0f} at the end)")
    print(f"  dropped                {grown('anonymizer_frames_total.*dropped'):8.0f}")
    for quantile in (0.5, 0.95, 0.99):
        label = f"latency p{quantile * 100:.0f}"
        print(f"  {label:22s} {quantile_ms(before.metrics, after.metrics, quantile):8.0f}  ms, capture to publish")
    cpu_ms = 1000 * (after.cpu_s - before.cpu_s)
    print(f"  CPU time               {cpu_ms / max(frames, 1):8.1f}  ms a frame, models included")


@contextmanager
def burning(count: int) -> Iterator[None]:
    """So many busy loops on the same cores."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--fps", type=int, default=15)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--clip", type=Path, help="default: the virtual camera over portraits")
    parser.add_argument("--lookahead-ms", type=int, default=PrivacySettings().lookahead_ms)
    parser.add_argument("--face-model", default=DetectSettings().face_model)
    parser.add_argument("--looks-per-s", type=float, help="default: as shipped; 120: every picture")
    parser.add_argument("--burners", type=int, default=0)
    options = parser.parse_args()
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: options.cores]))
    width, height = map(int, options.size.split("x"))
    stop = threading.Event()
    demo = DemoCamera(DemoOptions(options.clip, Size(width, height), Fraction(options.fps), Codec.H264))
    with tempfile.TemporaryDirectory() as folder, demo:
        config = Path(folder) / "bench.yaml"
        names = [f"cam{index}" for index in range(options.cameras)]
        cameras = [{"id": name, "url": demo.url} for name in names]
        privacy, track = {"lookahead_ms": options.lookahead_ms}, {"looks_per_s": options.looks_per_s}
        listeners = {"rtsp": {"port": RTSP}, "web": {"port": WEB}}
        parts = {"privacy": privacy, "track": track, "detect": {"face_model": options.face_model}, **listeners}
        config.write_text(yaml.safe_dump({"cameras": cameras, **parts}))
        daemon = subprocess.Popen([sys.executable, "-m", "anonymizer", "run", "--config", str(config)])
        try:
            stop.wait(5)
            for name in names:
                url = f"rtsp://127.0.0.1:{RTSP}/{name}"
                threading.Thread(target=watch, args=(url, stop), daemon=True).start()
            stop.wait(WARM_UP_S)
            phases = [("alone", 0)]
            if options.burners:
                phases += [(f"with {options.burners} burners", options.burners), ("after them", 0)]
            print(f"{options.cameras} camera(s) {options.size} at {options.fps} fps, {options.cores} cores, ", end="")
            print(f"look-ahead {options.lookahead_ms} ms, {options.seconds} s each")
            for title, burners in phases:
                with burning(burners):
                    before = Reading.take(daemon.pid)
                    stop.wait(options.seconds)
                    report(title, before, Reading.take(daemon.pid), options.seconds, options.cameras)
        finally:
            stop.set()
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(20)


if __name__ == "__main__":
    main()
