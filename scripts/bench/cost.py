"""CPU-ms a frame by stage, inference excluded, beside a pure transcode of the same clip; one core.

    .venv/bin/python scripts/bench/cost.py [--height 1080] [--frames 300] [CLIP]

Both sides decode the same file with one thread and encode with the same settings of libx264. The pipeline side runs the
classes that the daemon runs (source, letterbox, tracker, policy, redactor, encoder, hub) with detections that the real
models found beforehand; only the models' own time is left out.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import PictureType

from anonymizer.app import make_detector
from anonymizer.capture import open_source
from anonymizer.clock import SystemClock
from anonymizer.demo.pedestrians import pedestrian_clip
from anonymizer.detect.letterbox import Letterboxer
from anonymizer.encode.codecs import SOFTWARE, TIME_BASE, open_codec, ticks
from anonymizer.encode.h264 import H264Encoder
from anonymizer.errors import SourceEnded
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.pipeline.camera import CameraCore
from anonymizer.pipeline.status import StatusCell
from anonymizer.policy import Policy
from anonymizer.publish.hub import Hub
from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import CameraSettings, EncodeSettings, Settings, TargetName
from anonymizer.track.tracker import Tracker
from anonymizer.types import Colour, Detections, Frame, LinkChange, LinkState, RedactedFrame, Size
from anonymizer.zoo import Zoo


class Ledger:
    """CPU time by stage, of all threads of this process."""

    def __init__(self) -> None:
        self.spent_ns: defaultdict[str, int] = defaultdict(int)

    @contextmanager
    def charge(self, stage: str) -> Iterator[None]:
        """Add the CPU time of the block to the stage."""
        began_ns = time.process_time_ns()
        yield
        self.spent_ns[stage] += time.process_time_ns() - began_ns


class Publisher:
    """Encodes what the core hands on, as the publish thread does."""

    def __init__(self, settings: EncodeSettings, hub: Hub, ledger: Ledger) -> None:
        self._encoder = H264Encoder("bench", settings)
        self._hub = hub
        self._ledger = ledger
        self.encode_ns = 0
        self.regions = 0

    def offer(self, frame: RedactedFrame) -> None:
        """Encode at once."""
        before_ns = time.process_time_ns()
        with self._ledger.charge("encode"):
            packets = self._encoder.encode(frame, key=self._hub.take_key_request())
        with self._ledger.charge("publish"):
            for packet in packets:
                self._hub.put(packet)
        self.encode_ns += time.process_time_ns() - before_ns
        self.regions += frame.regions


def scaled(clip: Path, height: int, frames: int, folder: Path) -> tuple[Path, int]:
    """The clip's first frames at the height, as a camera would send them: H.264, no B-frames, key frame every 2 s."""
    out = folder / f"{height}.mp4"
    count = 0
    with av.open(str(clip)) as container, av.open(str(out), "w") as sink:
        source = container.streams.video[0]
        rate = Fraction(source.average_rate or 10)
        width = round(height * source.width / source.height / 16) * 16
        options = {"preset": "veryfast", "crf": "23", "bf": "0", "g": str(round(2 * rate))}
        stream = sink.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in container.decode(source):
            if count == frames:
                break
            sink.mux(stream.encode(frame.reformat(width, height, "yuv420p")))
            count += 1
        sink.mux(stream.encode())
    return out, count


def frames_of(clip: Path, meter: PrometheusMeter) -> Iterator[Frame]:
    """All frames, as fast as they are read."""
    camera = CameraSettings(id="bench", url=f"file://{clip}", loop=False)
    source = open_source(camera, epoch=0, first_seq=0, clock=SystemClock(), meter=meter, paced=False)
    source.start()
    try:
        while True:
            yield source.read()
    except SourceEnded:
        return
    finally:
        source.close()


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


def pipeline(clip: Path, found: dict[int, Detections], settings: Settings) -> tuple[Ledger, int, float]:
    """Stage costs, frames, mean number of regions."""
    clock, ledger = SystemClock(), Ledger()
    meter = PrometheusMeter(version="bench", runtime="none")
    meter.remember("bench")
    zoo = Zoo()
    inputs = [zoo.spec(name).input for name in (settings.detect.face_model, settings.detect.person_model)]
    boxers = [Letterboxer(Size(each.width, each.height), each.fit) for each in inputs]
    hub = Hub("bench", meter)
    publisher = Publisher(settings.encode, hub, ledger)
    asked: list[Frame] = []
    core = CameraCore(
        "bench",
        submit=asked.append,
        tracker=Tracker(settings.track, hold_ns=settings.privacy.hold_ms * 1_000_000),
        policy=Policy(settings.privacy, settings.redact),
        redactor=Redactor(settings.redact),
        sinks=(publisher,),
        meter=meter,
        clock=clock,
        status=StatusCell("bench", clock),
        max_wait_ns=10**12,
    )
    core.on_link(LinkChange("bench", LinkState.STREAMING, 0))
    frames = frames_of(clip, meter)
    count = 0
    while True:
        with ledger.charge("capture"):
            frame = next(frames, None)
        if frame is None:
            break
        with ledger.charge("letterbox"):
            for boxer in boxers:
                boxer.apply(frame.planes, frame.colour)
        publisher.encode_ns = 0
        began_ns = time.process_time_ns()
        core.on_frame(frame)
        core.on_detections(found[asked.pop().seq])
        ledger.spent_ns["track, policy, redact"] += time.process_time_ns() - began_ns - publisher.encode_ns
        count += 1
    return ledger, count, publisher.regions / count


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
        meter = PrometheusMeter(version="bench", runtime="none")
        targets = frozenset({TargetName.FACE, TargetName.PERSON})
        with make_detector(settings.detect, targets, clock=SystemClock(), meter=meter) as detector:
            found = {frame.seq: detector.detect(frame) for frame in frames_of(clip, meter)}
        plain_ms = min(transcode_ms(clip, settings.encode) for _ in range(options.rounds))
        runs = [pipeline(clip, found, settings) for _ in range(options.rounds)]
    ledger, frames, regions = min(runs, key=lambda run: sum(run[0].spent_ns.values()))
    total_ms = sum(ledger.spent_ns.values()) / 1e6 / frames
    print(f"{count} frames, {options.height} lines, {regions:.1f} regions a frame, preset {settings.encode.preset}")
    for stage, spent_ns in ledger.spent_ns.items():
        print(f"  {stage:22s} {spent_ns / 1e6 / frames:7.2f} CPU-ms a frame")
    print(f"  {'pipeline':22s} {total_ms:7.2f}")
    print(f"  {'pure transcode':22s} {plain_ms:7.2f}")
    print(f"  {'ratio':22s} {total_ms / plain_ms:7.2f}")


if __name__ == "__main__":
    main()
