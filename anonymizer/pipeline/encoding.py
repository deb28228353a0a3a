"""The publish thread of one camera: redacted frames through the encoder, once, into the hub."""

from __future__ import annotations

import threading
from collections.abc import Callable

from anonymizer.clock import Clock
from anonymizer.lifecycle import Resource
from anonymizer.pipeline.mailbox import Mailbox
from anonymizer.pipeline.stage import Pulse, StageThread
from anonymizer.pipeline.status import StatusCell
from anonymizer.ports import Encoder, Meter, PacketSink
from anonymizer.types import Outcome, Reason, RedactedFrame, Stage

_CAPACITY = 4
_LIMIT_S = 10.0  # opening a hardware encoder can take seconds
_IDLE_S = 0.5


class EncodeStage(Resource):
    """A FrameSink with its own thread. Overflow rule: the oldest frame is dropped (queue `encode`)."""

    def __init__(
        self,
        camera_id: str,
        make_encoder: Callable[[], Encoder],
        sink: PacketSink,
        *,
        on_crash: Callable[[], None],
        status: StatusCell,
        meter: Meter,
        clock: Clock,
    ) -> None:
        self._camera_id = camera_id
        self._make_encoder = make_encoder
        self._sink = sink
        self._status = status
        self._meter = meter
        self._clock = clock
        self._mailbox: Mailbox[RedactedFrame, None] = Mailbox(_CAPACITY, self._count_drop)
        self._pulse = Pulse(clock, _LIMIT_S)
        self._thread = StageThread(f"publish-{camera_id}", self._run, on_crash=on_crash)

    def start(self) -> None:
        """Start the thread; the encoder opens with the first frame."""
        self._pulse.beat()
        self._thread.start()

    def close(self) -> None:
        """Throw away what waits and stop; idempotent."""
        self._thread.ask_to_stop()
        self._mailbox.close()
        self._thread.close()

    def alive(self) -> bool:
        """True while the heartbeat is fresh."""
        return self._pulse.alive()

    def offer(self, frame: RedactedFrame) -> None:
        """Queue a frame; never blocks."""
        self._mailbox.put(frame)
        self._meter.queue_depth(self._camera_id, "encode", self._mailbox.depth())

    def _run(self, stop: threading.Event) -> None:
        encoder = self._make_encoder()
        try:
            while not stop.is_set():
                self._pulse.beat()
                frame = self._mailbox.get(_IDLE_S)
                if frame is not None:
                    self._publish(encoder, frame)
        finally:
            encoder.close()

    def _publish(self, encoder: Encoder, frame: RedactedFrame) -> None:
        began_ns = self._clock.now_ns()
        packets = encoder.encode(frame, key=self._sink.take_key_request())
        encoded_ns = self._clock.now_ns()
        for packet in packets:
            self._sink.put(packet)
        published_ns = self._clock.now_ns()
        self._meter.stage_seconds(self._camera_id, Stage.ENCODE, (encoded_ns - began_ns) / 1e9)
        self._meter.stage_seconds(self._camera_id, Stage.PUBLISH, (published_ns - encoded_ns) / 1e9)
        self._meter.frame(self._camera_id, Stage.PUBLISH, Outcome.OK)
        if frame.whole_frame is not Reason.NO_SIGNAL:
            self._meter.latency_seconds(self._camera_id, (published_ns - frame.captured_ns) / 1e9)
        self._status.published(frame.size, frame.captured_ns, frame.whole_frame)

    def _count_drop(self, _frame: RedactedFrame) -> None:
        self._meter.dropped(self._camera_id, "encode")
        self._meter.frame(self._camera_id, Stage.ENCODE, Outcome.DROPPED)
