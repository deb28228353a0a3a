"""Opens one camera as the daemon does and reports what it sends."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass

from anonymizer import __version__
from anonymizer.capture.opening import open_source
from anonymizer.clock import Clock
from anonymizer.demo.camera import DemoCameras
from anonymizer.errors import SourceEnded
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.settings.schema import CameraSettings
from anonymizer.types import Frame, Size

# Enough of either to tell the frame rate.
_PICTURES = 60
_LOOK_NS = 4_000_000_000
_DEMO_S = 600.0  # a demo camera encodes its film the first time, which takes minutes on a small, busy board


@dataclass(frozen=True, slots=True)
class Probed:
    """What a camera sent in the first seconds."""

    codec: str
    size: Size
    fps: float | None  # None: too few pictures to tell
    opened_s: float  # until connected
    first_frame_s: float  # until the first picture, connecting included
    suspect: int  # damaged pictures
    frames: int

    def __str__(self) -> str:
        rate = "rate unknown" if self.fps is None else f"{self.fps:.1f} fps"
        damage = f", {self.suspect} of {self.frames} pictures damaged" if self.suspect else ""
        times = f"connected in {self.opened_s:.2f} s, first picture after {self.first_frame_s:.2f} s"
        return f"{self.codec} {self.size}, {rate}, {times}{damage}"


def probe(camera: CameraSettings, clock: Clock) -> Probed:
    """Connect and read for a few seconds; raises SourceError."""
    meter = PrometheusMeter(version=__version__, runtime="")
    with contextlib.ExitStack() as stack:
        demo = stack.enter_context(DemoCameras())
        if camera.url.lower().startswith("demo:"):
            # Wait for the film here: `start` gives up after the open time-out, and the work would be lost.
            demo.rtsp_url(camera.url, _DEMO_S)
        begun_ns = clock.now_ns()
        source = open_source(camera, epoch=0, first_seq=0, clock=clock, meter=meter, demo=demo)
        stack.callback(source.close)
        source.start()
        opened_ns = clock.now_ns()
        frames = [source.read()]
        first_ns = clock.now_ns()
        with contextlib.suppress(SourceEnded):
            while len(frames) < _PICTURES and clock.now_ns() - first_ns < _LOOK_NS:
                frames.append(source.read())
        return Probed(
            codec=source.codec,
            size=frames[0].size,
            fps=_fps(frames),
            opened_s=(opened_ns - begun_ns) / 1e9,
            first_frame_s=(first_ns - begun_ns) / 1e9,
            suspect=sum(frame.suspect for frame in frames),
            frames=len(frames),
        )


def _fps(frames: list[Frame]) -> float | None:
    """From the median distance of timestamps, which a gap hardly changes."""
    gaps_ns = sorted(later.pts_ns - frame.pts_ns for frame, later in itertools.pairwise(frames))
    middle_ns = gaps_ns[len(gaps_ns) // 2] if gaps_ns else 0
    return 1e9 / middle_ns if middle_ns > 0 else None
