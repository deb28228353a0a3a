"""The seams between layers: every protocol that one stage uses to talk to the next."""

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
        """What the camera speaks, as libav names it; empty before `start`."""
        ...

    def start(self) -> None:
        """Connect within the open time-out; raises SourceError."""
        ...

    def read(self) -> Frame:
        """Next picture within the read time-out; raises SourceError, SourceEnded at the end of the stream."""
        ...

    def close(self) -> None:
        """Disconnect; idempotent, may be called from another thread to interrupt `read`."""
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
    """Redacted pictures to H.264; used by one thread; adapts to a new size by itself."""

    def encode(self, frame: RedactedFrame, *, key: bool) -> Sequence[EncodedPacket]:
        """Packets that are ready, usually one; `key` forces an IDR picture; raises EncodeError."""
        ...

    def close(self) -> None:
        """Drop what is inside; idempotent."""
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
    """What the page and the watchdog read; safe to call from any thread."""

    def cameras(self) -> Sequence[CameraStatus]:
        """Newest status of each camera, in the order of the YAML."""
        ...

    def ready(self) -> bool:
        """True when the models are loaded and every camera published something safe lately."""
        ...

    def healthy(self) -> bool:
        """True while every thread beats and every camera publishes something safe."""
        ...


class Watchdog(Protocol):
    """Whoever restarts the whole program when it is no longer fed."""

    def pet(self) -> None:
        """Say that everything is safe; cheap, called every half second."""
        ...


class Meter(Protocol):
    """Counts everything; safe to call from any thread; `camera` is the id from the YAML."""

    def frame(self, camera: str, stage: Stage, outcome: Outcome) -> None:
        """One frame left a stage."""
        ...

    def stage_seconds(self, camera: str, stage: Stage, seconds: float) -> None:
        """Wall time one frame spent being worked on in a stage."""
        ...

    def latency_seconds(self, camera: str, seconds: float) -> None:
        """Capture to publish of one frame."""
        ...

    def detections(self, camera: str, target: Target, count: int) -> None:
        """Detections in one frame."""
        ...

    def tracks(self, camera: str, target: Target, count: int) -> None:
        """Live tracks now."""
        ...

    def whole_frame(self, camera: str, reason: Reason) -> None:
        """One published frame was masked whole."""
        ...

    def governor_level(self, camera: str, level: int) -> None:
        """How far the camera degrades under load: 0 not at all, 1 wider masks, from 2 on fewer frames."""
        ...

    def look_spared(self, camera: str) -> None:
        """The models were not asked to look at one frame that was due, because nothing had moved."""
        ...

    def masked_backwards(self, camera: str) -> None:
        """One released frame hides somebody of whom only later frames tell."""
        ...

    def gaps_bridged(self, camera: str, count: int) -> None:
        """So many tracks were found again after the detector had missed them."""
        ...

    def unconfirmed_masked(self, camera: str, count: int) -> None:
        """One released frame hides so many detections that no other has confirmed yet."""
        ...

    def suspect(self, camera: str, cause: str) -> None:
        """A decoder saw damage: cause is error, flag or loss."""
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
        """A crashed stage is started again."""
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
        """Attention was to look at one frame and could not."""
        ...

    def kept_visible(self, camera: str, *, begins: bool) -> None:
        """Somebody who was recognised begins to stay visible, or is masked again."""
        ...

    def recognition_refused(self, camera: str, doubt: Doubt) -> None:
        """Somebody who might stay visible is masked in one frame, or could not be recognised in it."""
        ...

    def silhouettes(self, camera: str, *, drawn: int, boxes: int) -> None:
        """Of the persons found in one frame, so many are masked by their shape, and so many by their box."""
        ...

    def delegate_fallback(self, model: str, delegate: str) -> None:
        """The CPU computes a model instead of the delegate asked for, which did not start."""
        ...

    def audited(self, camera: str, findings: int) -> None:
        """One published picture was looked at again; so many faces lay outside its masks."""
        ...

    def audit_failed(self, camera: str) -> None:
        """One published picture could not be looked at."""
        ...

    def webhook_failed(self, camera: str) -> None:
        """The web address that findings are sent to did not take one."""
        ...

    def remember(self, camera: str) -> None:
        """The camera is in the YAML: show its series, at zero, before anything happens."""
        ...

    def forget(self, camera: str) -> None:
        """The camera left the YAML: drop its series until `remember` names it again."""
        ...
