"""The protocols through which stages and layers talk to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from anonymizer.types import (
    CameraStatus,
    Detections,
    Doubt,
    EncodedPacket,
    Frame,
    Outcome,
    Reason,
    RedactedFrame,
    Stage,
    Target,
)


class Source(Protocol):
    """One connection to a camera or file; made anew for every attempt, used by one thread."""

    @property
    def codec(self) -> str:
        """The codec of the stream, as libav names it; empty before `start`."""
        ...

    def start(self) -> None:
        """Connect within the open time-out; raises SourceError."""
        ...

    def read(self) -> Frame:
        """The next picture, within the read time-out; raises SourceError, and SourceEnded at the end of the stream."""
        ...

    def close(self) -> None:
        """Disconnect; idempotent; ends a `read` in another thread, at the latest when that times out."""
        ...


class Detector(Protocol):
    """Finds targets in frames; used by one thread."""

    def start(self) -> None:
        """Load the models; raises ModelError."""
        ...

    def detect(self, frame: Frame) -> Detections:
        """Boxes in source pixels; raises InvalidOutputError or any engine error."""
        ...

    def close(self) -> None:
        """Free the models; idempotent."""
        ...


class FrameSink(Protocol):
    """Accepts redacted pictures; never blocks."""

    def offer(self, frame: RedactedFrame) -> None:
        """Take the frame or drop it, counted."""
        ...


class Encoder(Protocol):
    """Encodes redacted pictures as H.264; used by one thread; adapts to a new size by itself."""

    def encode(self, frame: RedactedFrame, *, key: bool) -> Sequence[EncodedPacket]:
        """The packets that are ready, usually one; `key` forces an IDR picture; raises EncodeError."""
        ...

    def close(self) -> None:
        """Drop the pictures that were not output yet; idempotent."""
        ...


class PacketSink(Protocol):
    """Accepts encoded packets of one camera and fans them out; never blocks."""

    def put(self, packet: EncodedPacket) -> None:
        """Hand the packet to every subscriber, each with its own bounded queue."""
        ...

    def take_key_request(self) -> bool:
        """True once after a subscriber joined or lost packets: the next picture should be a key frame."""
        ...


class StatusBoard(Protocol):
    """The state of all cameras, for the page and its probes; safe to call from any thread."""

    def cameras(self) -> Sequence[CameraStatus]:
        """The newest status of each camera, in the order of the settings."""
        ...

    def ready(self) -> bool:
        """True when the models are loaded and every camera published something safe lately."""
        ...

    def healthy(self) -> bool:
        """True while every thread beats and every camera publishes something safe."""
        ...


class Watchdog(Protocol):
    """Restarts the whole program when it is no longer fed."""

    def pet(self) -> None:
        """Feed the watchdog: all is safe; cheap, called every half second."""
        ...


class Meter(Protocol):
    """Counts everything; safe to call from any thread; `camera` is the id from the settings, empty if none is meant."""

    def frame(self, camera: str, stage: Stage, outcome: Outcome) -> None:
        """One frame left a stage."""
        ...

    def stage_seconds(self, camera: str, stage: Stage, seconds: float) -> None:
        """Wall time one frame spent being worked on in a stage."""
        ...

    def latency_seconds(self, camera: str, seconds: float) -> None:
        """The age of one frame when it is published."""
        ...

    def detections(self, camera: str, target: Target, count: int) -> None:
        """The detections in one frame."""
        ...

    def tracks(self, camera: str, target: Target, count: int) -> None:
        """The tracks that are alive now."""
        ...

    def whole_frame(self, camera: str, reason: Reason) -> None:
        """One published frame was masked whole."""
        ...

    def governor_level(self, camera: str, level: int) -> None:
        """How far the camera degrades under load: 0 not at all, 1 wider masks, 2 and more fewer frames."""
        ...

    def look_spared(self, camera: str) -> None:
        """One frame that was due was not shown to the models, because nothing had moved."""
        ...

    def masked_backwards(self, camera: str) -> None:
        """One released frame masks somebody who was only found in later frames."""
        ...

    def gaps_bridged(self, camera: str, count: int) -> None:
        """`count` tracks were found again after the detector had missed them."""
        ...

    def unconfirmed_masked(self, camera: str, count: int) -> None:
        """One released frame masks `count` detections that no second one has confirmed yet."""
        ...

    def suspect(self, camera: str, cause: str) -> None:
        """Damage was seen in a stream; `cause` is error, flag or loss."""
        ...

    def connected(self, camera: str, *, up: bool) -> None:
        """The link to the camera came up or went down."""
        ...

    def reconnect(self, camera: str) -> None:
        """One further attempt to connect."""
        ...

    def dropped(self, camera: str, queue: str, count: int = 1) -> None:
        """A bounded queue threw something away."""
        ...

    def queue_depth(self, camera: str, queue: str, depth: int) -> None:
        """How full a bounded queue is."""
        ...

    def restart(self, camera: str, stage: Stage) -> None:
        """A crashed stage was started again."""
        ...

    def clients(self, camera: str, output: str, count: int) -> None:
        """How many clients read an output (rtsp, push, mjpeg) now."""
        ...

    def bytes_out(self, camera: str, output: str, count: int) -> None:
        """Bytes handed to an output."""
        ...

    def detector_model(self, model: str, precision: str, runtime: str, delegate: str) -> None:
        """A model was loaded; `delegate` computes it."""
        ...

    def attention_failed(self, camera: str) -> None:
        """The attention model failed on one frame."""
        ...

    def kept_visible(self, camera: str, *, begins: bool) -> None:
        """Somebody who was recognised begins to stay visible, or (`begins` False) is masked again."""
        ...

    def recognition_refused(self, camera: str, doubt: Doubt) -> None:
        """Somebody who might have stayed visible was masked in one frame, or could not be recognised in it."""
        ...

    def silhouettes(self, camera: str, *, drawn: int, boxes: int) -> None:
        """Of the persons in one frame, `drawn` are masked by their shape and `boxes` by their box."""
        ...

    def delegate_fallback(self, model: str, delegate: str) -> None:
        """A model runs on the CPU, because the delegate asked for did not start."""
        ...

    def audited(self, camera: str, findings: int) -> None:
        """One published picture was audited; `findings` faces lay outside its masks."""
        ...

    def audit_failed(self, camera: str) -> None:
        """One published picture could not be audited."""
        ...

    def webhook_failed(self, camera: str) -> None:
        """The audit's web address did not take a finding."""
        ...

    def remember(self, camera: str) -> None:
        """Show the series of a camera of the settings, at zero, before anything happens."""
        ...

    def forget(self, camera: str) -> None:
        """Drop the series of a camera that left the settings, until `remember` names it again."""
        ...
