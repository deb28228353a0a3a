"""Looks for bare faces in what was really published: the encoder's own output, decoded, with a second model."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from anonymizer.clock import Clock
from anonymizer.exposure import bare_faces
from anonymizer.lifecycle import Resource
from anonymizer.pipeline.stage import StageThread
from anonymizer.ports import Detector, Meter, PacketSink
from anonymizer.types import (
    AuditFinding,
    Colour,
    EncodedPacket,
    Frame,
    Planes,
    RedactedFrame,
    Region,
    Size,
)

log = logging.getLogger(__name__)

_REMEMBERED = 128  # pictures of one camera between redactor and encoder
_IDLE_S = 0.5
_RETRY_NS = 30_000_000_000  # after the model could not be loaded
_QUIET_NS = 60_000_000_000  # between two warnings about one camera
_NICENESS = 10


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the audit must know of a redacted picture; the picture itself comes back out of the encoder."""

    seq: int
    wall_ns: int
    colour: Colour
    size: Size
    regions: tuple[Region, ...]
    spared: tuple[tuple[float, float, float, float], ...]  # faces that are bare on purpose


@dataclass(frozen=True, slots=True)
class _Job:
    """One published key picture and what was masked in it."""

    packet: EncodedPacket
    shown: _Shown
    on_finding: Callable[[AuditFinding], None]


class AuditTap:
    """Sits between one camera's encoder and its hub: passes every packet on, keeps the newest key picture to look at.

    `offer` is called by the redacting thread, the rest by the encoding one.
    """

    def __init__(
        self,
        packets: PacketSink,
        on_finding: Callable[[AuditFinding], None],
        put_job: Callable[[_Job], None],
        interval_ns: int,
    ) -> None:
        self._packets = packets
        self._on_finding = on_finding
        self._put_job = put_job
        self._interval_ns = interval_ns
        self._lock = threading.Lock()
        self._shown: OrderedDict[int, _Shown] = OrderedDict()  # by the time of capture
        self._key_pts_ns: int | None = None
        self._pts_ns = 0
        self._asked = False
        self._shows_something = False  # the newest picture is not masked whole

    def offer(self, frame: RedactedFrame) -> None:
        """Remember what is masked in a picture that goes to the encoder."""
        self._shows_something = frame.whole_frame is None
        if not self._shows_something:
            return
        with self._lock:
            self._shown[frame.captured_ns] = _Shown(
                frame.seq, frame.wall_ns, frame.colour, frame.size, frame.regions, frame.spared
            )
            while len(self._shown) > _REMEMBERED:
                self._shown.popitem(last=False)

    def put(self, packet: EncodedPacket) -> None:
        """Pass the packet on; never blocks."""
        self._packets.put(packet)
        self._pts_ns = packet.pts_ns
        with self._lock:
            shown = self._shown.pop(packet.captured_ns, None)
        if packet.is_key:
            self._asked = False
            if shown is not None and self._due():
                self._key_pts_ns = packet.pts_ns
                self._put_job(_Job(packet, shown, self._on_finding))

    def take_key_request(self) -> bool:
        """True once after a subscriber needs a key frame, or when it is time for the next audit."""
        wanted = self._packets.take_key_request()
        if self._shows_something and self._due() and not self._asked:
            self._asked = wanted = True
        return wanted

    def _due(self) -> bool:
        return self._key_pts_ns is None or abs(self._pts_ns - self._key_pts_ns) >= self._interval_ns


class Auditor(Resource):
    """One thread for all cameras, of low priority where the system lets it.

    Overflow rule: of each camera the newest picture stays, counted.
    A face outside the masks is logged, counted and handed to everybody in `tell`. What fails here is counted and
    logged; it never touches a stream.
    """

    def __init__(
        self,
        make_detector: Callable[[], Detector],
        read_picture: Callable[[EncodedPacket], Planes],
        tell: Iterable[Callable[[AuditFinding], None]],
        *,
        interval_s: float,
        meter: Meter,
        clock: Clock,
    ) -> None:
        """`make_detector` finds faces with another model than the pipeline's; `interval_s` is that of one camera."""
        self._make_detector = make_detector
        self._read_picture = read_picture
        self._tell = tuple(tell)
        self._interval_ns = round(interval_s * 1e9)
        self._meter = meter
        self._clock = clock
        self._changed = threading.Condition()
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._thread = StageThread("audit", self._run, on_crash=lambda: None, join_s=5.0)
        self._detector: Detector | None = None
        self._retry_ns = 0
        self._warned_ns: dict[str, int] = {}

    def start(self) -> None:
        """Start the thread, which loads the model."""
        self._thread.start()

    def close(self) -> None:
        """Stop; idempotent."""
        self._thread.ask_to_stop()
        with self._changed:
            self._changed.notify_all()
        self._thread.close()

    def tap(self, packets: PacketSink, on_finding: Callable[[AuditFinding], None]) -> AuditTap:
        """What one camera's encoder writes to and its redacted pictures are shown to.

        `on_finding` is called by the audit's thread.
        """
        return AuditTap(packets, on_finding, self._put, self._interval_ns)

    def _put(self, job: _Job) -> None:
        camera_id = job.packet.camera_id
        with self._changed:
            replaced = self._jobs.pop(camera_id, None)
            self._jobs[camera_id] = job
            self._changed.notify()
        if replaced is not None:
            self._meter.dropped(camera_id, "audit")

    def _run(self, stop: threading.Event) -> None:
        with contextlib.suppress(PermissionError):  # as under our systemd unit: the audit then runs like the others
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)  # on Linux: of this thread alone
        try:
            while not stop.is_set():
                job = self._take()
                try:
                    detector = self._loaded()
                    if job is not None and detector is not None:
                        self._audit(detector, job)
                        continue
                except Exception:  # stage boundary: the audit is in no picture's way; counted, tried again
                    self._drop_detector()
                    self._retry_ns = self._clock.now_ns() + _RETRY_NS
                    log.exception("the audit failed; its model is loaded again in 30 s")
                if job is not None:
                    self._meter.audit_failed(job.packet.camera_id)
        finally:
            self._drop_detector()

    def _take(self) -> _Job | None:
        with self._changed:
            if not self._jobs:
                self._changed.wait(_IDLE_S)
            return self._jobs.popitem(last=False)[1] if self._jobs else None

    def _loaded(self) -> Detector | None:
        """The detector, started; None while it waits for its next attempt."""
        if self._detector is None and self._clock.now_ns() >= self._retry_ns:
            self._detector = self._make_detector()
            self._detector.start()
        return self._detector

    def _drop_detector(self) -> None:
        if self._detector is not None:
            self._detector.close()
            self._detector = None

    def _audit(self, detector: Detector, job: _Job) -> None:
        packet, shown = job.packet, job.shown
        frame = Frame(
            camera_id=packet.camera_id,
            seq=shown.seq,
            epoch=0,
            pts_ns=packet.pts_ns,
            captured_ns=packet.captured_ns,
            wall_ns=shown.wall_ns,
            planes=self._read_picture(packet),
            colour=shown.colour,
        )
        found = detector.detect(frame)
        boxes = bare_faces(found, shown.regions, shown.spared)
        self._meter.audited(packet.camera_id, len(boxes))
        if boxes:
            finding = AuditFinding(packet.camera_id, packet.captured_ns, shown.wall_ns, shown.size, boxes)
            job.on_finding(finding)
            self._report(finding)

    def _report(self, finding: AuditFinding) -> None:
        now_ns, warned_ns = self._clock.now_ns(), self._warned_ns.get(finding.camera_id)
        if warned_ns is None or now_ns - warned_ns >= _QUIET_NS:
            self._warned_ns[finding.camera_id] = now_ns
            log.warning(
                "camera %s: the audit found %d face(s) outside the masks of a published picture; "
                "lower detect.face_threshold, set reach_px, or privacy.mode: strict",
                finding.camera_id,
                len(finding.boxes),
            )
        for tell in self._tell:
            tell(finding)
