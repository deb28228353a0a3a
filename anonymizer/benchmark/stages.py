"""Measures the CPU time of one frame in each stage of the pipeline, with the classes of the daemon."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from anonymizer.benchmark.film import taken_at
from anonymizer.capture import open_source
from anonymizer.clock import FakeClock, SystemClock
from anonymizer.detect.daylight import bring_out
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
CORE = "track, policy, redact"
STAGES = ("capture", LETTERBOX, CORE, ENCODE, "publish")
_STEP_NS, _DRAIN_NS = 1_000_000, 10_000_000_000  # after the last picture: whatever is still held then never leaves
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
        self._inner_ns = 0  # what blocks within the current one have taken

    @contextmanager
    def charge(self, stage: str) -> Iterator[None]:
        """Add the CPU time of the block to the stage, without that of blocks within it, which have their own stage."""
        outer_ns, self._inner_ns = self._inner_ns, 0
        began_ns = time.process_time_ns()
        yield
        took_ns = time.process_time_ns() - began_ns
        self.spent_ns[stage] += took_ns - self._inner_ns
        self._inner_ns = outer_ns + took_ns


class _Publisher:
    """Encodes what the core hands on, as the publish thread does."""

    def __init__(self, settings: EncodeSettings, codec: Codec, hub: Hub, ledger: _Ledger) -> None:
        self._encoder = H264Encoder(CAMERA, settings, codec=codec)
        self._hub = hub
        self._ledger = ledger
        self.frames = 0
        self.regions = 0

    def offer(self, frame: RedactedFrame) -> None:
        """Encode at once."""
        with self._ledger.charge(ENCODE):
            packets = self._encoder.encode(frame, key=self._hub.take_key_request())
        with self._ledger.charge("publish"):
            for packet in packets:
                self._hub.put(packet)
        self.frames += 1
        self.regions += len(frame.regions)

    def close(self) -> None:
        """Free the encoder."""
        self._encoder.close()


def quiet_meter() -> PrometheusMeter:
    """A meter of the daemon's class, so that it costs the same, which nobody reads."""
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
    """Play the film to one camera in the film's own time; `detect` only looks up what the models found before."""
    clock, ledger, meter = FakeClock(), _Ledger(), quiet_meter()
    zoo = Zoo(settings.detect.models_dir)
    specs = [zoo.detectors.spec(name) for name in (settings.detect.face_model, settings.detect.person_model)]
    boxers = [(Letterboxer(Size(spec.input.width, spec.input.height), spec.input.fit), spec.classes) for spec in specs]
    publisher = _Publisher(settings.encode, codec, Hub(CAMERA, meter), ledger)
    asked: list[Frame] = []
    core = make_core(
        CAMERA,
        settings.privacy,
        settings.redact,
        settings.track,
        submit=asked.append,
        sinks=(publisher,),
        meter=meter,
        clock=clock,
        status=StatusCell(CAMERA, clock),
    )
    core.on_link(LinkChange(CAMERA, LinkState.STREAMING, 0))

    def at(now_ns: int, frame: Frame | None) -> None:
        """Let the core handle the time, and a frame if there is one."""
        clock.advance((now_ns - clock.now_ns()) / 1e9)
        with ledger.charge(CORE):
            core.on_time()
            if frame is not None:
                core.on_frame(taken_at(frame, now_ns))

    frames, first_ns, count = frames_of(film), 0, 0
    while True:
        with ledger.charge("capture"):
            frame = next(frames, None)
        if frame is None:
            break
        first_ns = first_ns if count else frame.pts_ns
        at(frame.pts_ns - first_ns, frame)
        if asked:  # some are passed over, and one in which the camera moved is masked whole without asking
            looked_at = asked.pop()
            with ledger.charge(LETTERBOX):
                for boxer, targets in boxers:
                    bring_out(*boxer.apply(looked_at.planes, looked_at.colour), targets)
            with ledger.charge(CORE):
                core.on_detections(detect(looked_at))
        count += 1
    end_ns = clock.now_ns() + _DRAIN_NS
    while publisher.frames < count and clock.now_ns() < end_ns:
        at(min(max(core.next_deadline_ns(), clock.now_ns() + _STEP_NS), end_ns), None)
    publisher.close()
    cpu_ms = {stage: spent_ns / 1e6 / count for stage, spent_ns in ledger.spent_ns.items()}
    return StageCosts(count, publisher.regions / count, {stage: cpu_ms[stage] for stage in STAGES if stage in cpu_ms})
