"""CPU time of one frame in each stage of the pipeline, measured on the classes that the daemon runs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from anonymizer.capture import open_source
from anonymizer.clock import SystemClock
from anonymizer.detect.letterbox import Letterboxer
from anonymizer.encode.codecs import SOFTWARE, Codec
from anonymizer.encode.h264 import H264Encoder
from anonymizer.errors import SourceEnded
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.pipeline.assembly import make_core
from anonymizer.pipeline.status import StatusCell
from anonymizer.publish.hub import Hub
from anonymizer.settings.schema import CameraSettings, EncodeSettings, Settings
from anonymizer.types import Detections, Frame, LinkChange, LinkState, RedactedFrame, Size
from anonymizer.zoo import Zoo

ENCODE = "encode"
LETTERBOX = "letterbox"
CAMERA = "benchmark"


@dataclass(frozen=True, slots=True)
class StageCosts:
    """What one frame costs, the models' own time left out."""

    frames: int
    regions: float  # masked areas a frame, mean
    cpu_ms: Mapping[str, float]  # a frame, by stage, in the order of the pipeline

    @property
    def total_ms(self) -> float:
        """CPU time of one frame in all stages."""
        return sum(self.cpu_ms.values())


class _Ledger:
    """CPU time by stage, of all threads of this process."""

    def __init__(self) -> None:
        self.spent_ns: defaultdict[str, int] = defaultdict(int)

    @contextmanager
    def charge(self, stage: str) -> Iterator[None]:
        """Add the CPU time of the block to the stage."""
        began_ns = time.process_time_ns()
        yield
        self.spent_ns[stage] += time.process_time_ns() - began_ns


class _Publisher:
    """Encodes what the core hands on, as the publish thread does."""

    def __init__(self, settings: EncodeSettings, codec: Codec, hub: Hub, ledger: _Ledger) -> None:
        self._encoder = H264Encoder(CAMERA, settings, codec=codec)
        self._hub = hub
        self._ledger = ledger
        self.spent_ns = 0
        self.regions = 0

    def offer(self, frame: RedactedFrame) -> None:
        """Encode at once."""
        before_ns = time.process_time_ns()
        with self._ledger.charge(ENCODE):
            packets = self._encoder.encode(frame, key=self._hub.take_key_request())
        with self._ledger.charge("publish"):
            for packet in packets:
                self._hub.put(packet)
        self.spent_ns += time.process_time_ns() - before_ns
        self.regions += len(frame.regions)

    def close(self) -> None:
        """Free the encoder."""
        self._encoder.close()


def quiet_meter() -> PrometheusMeter:
    """A meter that costs what the daemon's costs and that nobody reads."""
    meter = PrometheusMeter(version=CAMERA, runtime="none")
    meter.remember(CAMERA)
    return meter


def frames_of(film: Path) -> Iterator[Frame]:
    """All frames, as fast as they are read."""
    camera = CameraSettings(id=CAMERA, url=f"file://{film}", loop=False)
    source = open_source(camera, epoch=0, first_seq=0, clock=SystemClock(), meter=quiet_meter(), paced=False)
    source.start()
    try:
        while True:
            yield source.read()
    except SourceEnded:
        return
    finally:
        source.close()


def measure_stages(
    film: Path, detect: Callable[[Frame], Detections], settings: Settings, *, codec: Codec = SOFTWARE
) -> StageCosts:
    """Run the film through one camera; `detect` only looks up what the models found before."""
    clock, ledger, meter = SystemClock(), _Ledger(), quiet_meter()
    zoo = Zoo(settings.detect.models_dir)
    inputs = [zoo.spec(name).input for name in (settings.detect.face_model, settings.detect.person_model)]
    boxers = [Letterboxer(Size(each.width, each.height), each.fit) for each in inputs]
    publisher = _Publisher(settings.encode, codec, Hub(CAMERA, meter), ledger)
    asked: list[Frame] = []
    core = make_core(
        CAMERA,
        settings.privacy.model_copy(update={"lookahead_ms": 0}),  # a film is read faster than it plays
        settings.redact,
        settings.track,
        submit=asked.append,
        sinks=(publisher,),
        meter=meter,
        clock=clock,
        status=StatusCell(CAMERA, clock),
    )
    core.on_link(LinkChange(CAMERA, LinkState.STREAMING, 0))
    frames = frames_of(film)
    count = 0
    while True:
        with ledger.charge("capture"):
            frame = next(frames, None)
        if frame is None:
            break
        with ledger.charge(LETTERBOX):
            for boxer in boxers:
                boxer.apply(frame.planes, frame.colour)
        publisher.spent_ns = 0
        began_ns = time.process_time_ns()
        core.on_frame(frame)
        if asked:  # a frame in which the camera moved is masked whole, without asking
            core.on_detections(detect(asked.pop()))
        ledger.spent_ns["track, policy, redact"] += time.process_time_ns() - began_ns - publisher.spent_ns
        count += 1
    publisher.close()
    cpu_ms = {stage: spent_ns / 1e6 / count for stage, spent_ns in ledger.spent_ns.items()}
    return StageCosts(count, publisher.regions / count, cpu_ms)
