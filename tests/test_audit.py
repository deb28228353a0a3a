"""The audit: what was published is looked at again, and nothing about it can hurt the stream."""

from __future__ import annotations

import base64
import gc
import http.server
import json
import os
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from anonymizer.capture.key_picture import read_key_picture
from anonymizer.clock import SystemClock
from anonymizer.encode.h264 import H264Encoder
from anonymizer.errors import ModelError, SourceError
from anonymizer.observe.webhook import Webhook
from anonymizer.pipeline.auditing import Auditor, AuditTap
from anonymizer.publish.hub import Hub
from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import EncodeSettings, PrivacySettings, RedactSettings, TargetName
from anonymizer.types import (
    AuditFinding,
    Detections,
    Effect,
    EncodedPacket,
    Frame,
    Reason,
    RedactionPlan,
    Region,
    Shape,
    Size,
    Spared,
    Target,
)
from tests.fakes import RecordingMeter, make_detections, make_frame, make_planes
from tests.publishing import wait_for

FACE = (40.0, 20.0, 80.0, 60.0)
MASK = Region((30.0, 10.0, 90.0, 70.0), Shape.BOX, Effect.FILL, Reason.DETECTION, Target.FACE)


class SharpEyes:
    """A detector that finds a face at FACE wherever luma there is not black, as a real one sees masks."""

    def __init__(self, meter: RecordingMeter | None = None) -> None:
        self.frames: list[Frame] = []
        self.closed = 0
        self.broken = False

    def start(self) -> None:
        if self.broken:
            raise ModelError("the model is gone")

    def detect(self, frame: Frame) -> Detections:
        self.frames.append(frame)
        return make_detections(FACE, seq=frame.seq, camera_id=frame.camera_id)

    def close(self) -> None:
        self.closed += 1


class Street:
    """A camera whose redacted pictures go through a real encoder, the tap and a hub."""

    def __init__(self, auditor: Auditor, meter: RecordingMeter, camera_id: str = "cam") -> None:
        self.hub = Hub(camera_id, meter)
        self.findings: list[AuditFinding] = []
        self.tap: AuditTap = auditor.tap(self.hub, self.findings.append)
        self._camera_id = camera_id
        self._encoder = H264Encoder(camera_id, EncodeSettings(), fps_hint=25)
        self._redactor = Redactor(RedactSettings())
        self._planes = make_planes(160, 120, seed=7)
        self._seq = 0

    def publish(
        self, *regions: Region, whole: Reason | None = None, shown: bool = True, spared: tuple[Spared, ...] = ()
    ) -> EncodedPacket:
        frame = make_frame(self._seq, camera_id=self._camera_id, planes=self._planes)
        redacted = self._redactor.redact(frame, RedactionPlan(self._seq, regions, whole, spared))
        self._seq += 1
        if shown:
            self.tap.offer(redacted)
        (packet,) = self._encoder.encode(redacted, key=self.tap.take_key_request())
        self.tap.put(packet)
        return packet


@pytest.fixture
def meter() -> RecordingMeter:
    return RecordingMeter()


@pytest.fixture
def eyes() -> SharpEyes:
    return SharpEyes()


@pytest.fixture
def told() -> list[AuditFinding]:
    return []


@pytest.fixture
def auditor(meter: RecordingMeter, eyes: SharpEyes, told: list[AuditFinding]) -> Iterator[Auditor]:
    with Auditor(
        lambda: eyes, read_key_picture, [told.append], interval_s=1.0, meter=meter, clock=SystemClock()
    ) as running:
        yield running


def test_a_face_that_was_published_bare_raises_the_alarm(
    auditor: Auditor, meter: RecordingMeter, told: list[AuditFinding], caplog: pytest.LogCaptureFixture
) -> None:
    street = Street(auditor, meter)
    street.publish()
    wait_for(lambda: told)
    assert street.findings == told
    assert told[0].camera_id == "cam"
    assert told[0].boxes == (FACE,)
    assert told[0].size == Size(160, 120)
    assert meter.counts["findings", "cam"] == 1
    assert "camera cam: the audit found 1 face(s) outside the masks" in caplog.text


def test_a_service_that_may_not_lower_its_priority_is_audited_all_the_same(
    monkeypatch: pytest.MonkeyPatch, meter: RecordingMeter, eyes: SharpEyes, told: list[AuditFinding]
) -> None:
    def refuse(_which: int, _who: int, _priority: int) -> None:
        raise PermissionError(1, "Operation not permitted")  # what SystemCallFilter in our unit answers

    monkeypatch.setattr(os, "setpriority", refuse)
    with Auditor(
        lambda: eyes, read_key_picture, [told.append], interval_s=1.0, meter=meter, clock=SystemClock()
    ) as auditor:
        Street(auditor, meter).publish()
        wait_for(lambda: told)


def test_a_face_under_its_mask_is_no_finding(
    auditor: Auditor, meter: RecordingMeter, told: list[AuditFinding], eyes: SharpEyes
) -> None:
    Street(auditor, meter).publish(MASK)
    wait_for(lambda: meter.counts["audited", "cam"])
    assert not told
    assert len(eyes.frames) == 1


def test_a_face_that_stays_visible_on_purpose_is_no_finding(
    auditor: Auditor, meter: RecordingMeter, told: list[AuditFinding]
) -> None:
    Street(auditor, meter).publish(spared=(Spared(1, "ana", 9, FACE),))
    wait_for(lambda: meter.counts["audited", "cam"])
    assert not told


def test_the_audit_sees_what_viewers_see_not_what_the_camera_sent(
    auditor: Auditor, meter: RecordingMeter, eyes: SharpEyes
) -> None:
    Street(auditor, meter).publish(MASK)
    wait_for(lambda: eyes.frames)
    luma = eyes.frames[0].planes.y[12:68, 32:88]
    assert luma.astype(int).std() < 8  # filled; the noise of the camera's picture has 74


def test_a_picture_that_is_masked_whole_needs_no_audit(
    auditor: Auditor, meter: RecordingMeter, eyes: SharpEyes
) -> None:
    street = Street(auditor, meter)
    keys = [street.publish(whole=Reason.STARTING).is_key for _ in range(40)]
    assert keys == [True] + 39 * [False]
    assert not eyes.frames
    assert street.publish().is_key  # the first picture that shows something is looked at at once
    wait_for(lambda: eyes.frames)


def test_a_camera_is_looked_at_once_an_interval_of_its_stream(
    auditor: Auditor, meter: RecordingMeter, eyes: SharpEyes
) -> None:
    street = Street(auditor, meter)
    keys = [street.publish(MASK).is_key for _ in range(60)]  # 40 ms each
    assert [index for index, key in enumerate(keys) if key] in ([0, 26, 51], [0, 26, 52])
    wait_for(lambda: meter.counts["audited", "cam"] + meter.counts["dropped", "cam", "audit"] == 3)


def test_every_packet_reaches_the_hub(auditor: Auditor, meter: RecordingMeter) -> None:
    street = Street(auditor, meter)
    with street.hub.subscribe("rtsp", 10) as viewer:
        sent = [street.publish().data for _ in range(3)]
        received = [viewer.get(0) for _ in range(3)]
    assert [packet and packet.data for packet in received] == sent


def test_a_viewer_that_joins_still_gets_its_key_picture(auditor: Auditor, meter: RecordingMeter) -> None:
    street = Street(auditor, meter)
    for _ in range(10):
        street.publish()
    with street.hub.subscribe("rtsp", 10):
        assert street.publish().is_key


def test_a_model_that_does_not_load_is_counted_and_the_stream_goes_on(meter: RecordingMeter, eyes: SharpEyes) -> None:
    eyes.broken = True
    with Auditor(lambda: eyes, read_key_picture, [], interval_s=1.0, meter=meter, clock=SystemClock()) as auditor:
        street = Street(auditor, meter)
        street.publish()
        wait_for(lambda: meter.counts["audit_failed", "cam"] == 1)
        for _ in range(30):
            assert street.publish().data
        wait_for(lambda: meter.counts["audit_failed", "cam"] == 2)  # it waits 30 s before it loads the model again
    assert eyes.closed == 1


def test_a_packet_of_which_nothing_is_known_is_passed_on_unaudited(
    auditor: Auditor, meter: RecordingMeter, eyes: SharpEyes
) -> None:
    Street(auditor, meter).publish(shown=False)
    assert not eyes.frames


@pytest.mark.parametrize("data", [b"", b"\x00\x00\x00\x01\x65\x00", b"garbage"])
def test_what_is_no_picture_is_an_error_not_a_crash(data: bytes) -> None:
    with pytest.raises(SourceError, match="key packet of cam"):
        read_key_picture(EncodedPacket("cam", 0, 0, data, is_key=True, size=Size(16, 16)))


class Listener:
    """A web server that keeps what it is sent."""

    def __init__(self, status: int, location: str = "") -> None:
        self.bodies: list[Any] = []
        self.logins: list[str | None] = []
        bodies, logins = self.bodies, self.logins

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                logins.append(self.headers["Authorization"])
                bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.end_headers()

            def do_GET(self) -> None:
                logins.append(self.headers["Authorization"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook?token=hunter2"

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


FINDING = AuditFinding("door", 5, 1_700_000_000_000_000_000, Size(1280, 720), ((1.2, 2.0, 30.0, 40.6),))


def test_the_webhook_is_sent_place_and_time_but_no_picture(meter: RecordingMeter) -> None:
    with Listener(204) as listener, Webhook(listener.url, meter) as webhook:
        webhook.send(FINDING)
        wait_for(lambda: listener.bodies)
    assert listener.bodies == [
        {
            "event": "audit_finding",
            "camera": "door",
            "time": "2023-11-14T22:13:20.000+00:00",
            "width": 1280,
            "height": 720,
            "faces": [[1, 2, 30, 41]],
        }
    ]
    assert not meter.counts


def refused(_: Listener) -> str:
    return "http://127.0.0.1:9/hook?token=hunter2"


@pytest.mark.parametrize("address", [lambda listener: listener.url, refused])
def test_a_webhook_that_fails_is_counted_and_its_address_stays_secret(
    address: Callable[[Listener], str], meter: RecordingMeter, caplog: pytest.LogCaptureFixture
) -> None:
    with Listener(500) as listener, Webhook(address(listener), meter) as webhook:
        webhook.send(FINDING)
        wait_for(lambda: meter.counts["webhook_failed", "door"])
    assert "audit.webhook_url did not take a finding" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_login_in_the_webhooks_address_is_given_as_such(meter: RecordingMeter) -> None:
    with Listener(204) as listener, Webhook(listener.url.replace("//", "//bob:hunter%402@"), meter) as webhook:
        webhook.send(FINDING)
        wait_for(lambda: listener.bodies)
    assert listener.logins == [f"Basic {base64.b64encode(b'bob:hunter@2').decode()}"]
    assert not meter.counts


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_webhook_that_sends_us_elsewhere_has_not_taken_the_finding(
    status: int, meter: RecordingMeter, caplog: pytest.LogCaptureFixture
) -> None:
    with Listener(204) as other, Listener(status, other.url) as listener:
        with Webhook(listener.url.replace("//", "//bob:hunter2@"), meter) as webhook:
            webhook.send(FINDING)
            wait_for(lambda: meter.counts["webhook_failed", "door"])
        assert (len(listener.logins), other.logins) == (1, [])
    assert f"HTTP {status}: it sends elsewhere" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_webhook_that_is_answered_in_another_language_is_tried_again_with_the_next_finding(
    meter: RecordingMeter,
) -> None:
    """Somebody restarts a proxy, or the port is another service's: one bad answer must not silence all alarms."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for _ in range(2):
                connection, _address = server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"SSH-2.0-OpenSSH\r\n")

        threading.Thread(target=answer, daemon=True).start()

        def failed(count: int) -> bool:
            return meter.counts["webhook_failed", "door"] == count

        with Webhook(f"http://127.0.0.1:{server.getsockname()[1]}/", meter) as webhook:
            for count in (1, 2):
                webhook.send(FINDING)
                wait_for(partial(failed, count))


def test_findings_that_nobody_takes_are_dropped_and_counted(meter: RecordingMeter) -> None:
    webhook = Webhook("http://127.0.0.1:9/", meter)  # never started
    for _ in range(20):
        webhook.send(FINDING)
    assert meter.counts["dropped", "door", "webhook"] == 4
    webhook.close()


def test_an_audit_that_never_started_closes(meter: RecordingMeter, eyes: SharpEyes) -> None:
    auditor = Auditor(lambda: eyes, read_key_picture, [], interval_s=1.0, meter=meter, clock=SystemClock())
    auditor.close()
    auditor.close()


@pytest.mark.parametrize(
    ("privacy", "audited"),
    [
        (PrivacySettings(), True),
        (PrivacySettings(targets=(TargetName.PERSON,)), False),
        (PrivacySettings(min_face_height=0.1), False),
        (PrivacySettings(max_face_height=0.5), False),
        (PrivacySettings(areas=(((0, 0), (1, 0), (1, 1)),)), False),
    ],
)
def test_only_cameras_that_may_show_no_face_at_all_are_audited(privacy: PrivacySettings, audited: bool) -> None:
    assert privacy.masks_every_face is audited


def test_the_audit_keeps_no_pictures_of_frames_that_never_reach_the_encoder(
    auditor: Auditor, meter: RecordingMeter
) -> None:
    street = Street(auditor, meter)
    frame = Redactor(RedactSettings()).redact(make_frame(0, planes=make_planes(160, 120)), RedactionPlan(0))
    picture = weakref.ref(frame.i420)
    street.tap.offer(frame)
    del frame
    gc.collect()
    assert picture() is None
