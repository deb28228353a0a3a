"""A live redacted stream and viewers of it, for tests of the outputs."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Self

import av

from anonymizer.encode.h264 import H264Encoder
from anonymizer.publish.hub import Hub
from anonymizer.publish.rtsp_server import RtspServer
from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import EncodeSettings, RedactSettings, RtspSettings
from anonymizer.types import EncodedPacket, RedactedFrame, RedactionPlan
from tests.fakes import RecordingMeter, make_frame, make_planes

FPS = 30
OPEN_OPTIONS = {"fflags": "nobuffer", "analyzeduration": "0", "probesize": "5000", "fpsprobesize": "0"}


def settings(**changes: object) -> RtspSettings:
    """Of an RTSP server on any free port."""
    return RtspSettings().model_copy(update={"port": 0, **changes})


def url(server: RtspServer, camera_id: str = "cam", *, login: str = "") -> str:
    return f"rtsp://{login}127.0.0.1:{server.port}/{camera_id}"


def tail(data: bytes) -> bytes:
    """The end of an access unit's last slice: survives any packetisation, tells noisy pictures apart."""
    return data.rstrip(b"\x00")[-16:]


class LiveStream:
    """Noise, redacted, encoded and put into a hub at `FPS`, as a camera's pipeline would."""

    def __init__(self, camera_id: str = "cam", *, width: int = 160, height: int = 120, noise: int = 8) -> None:
        self.hub = Hub(camera_id, RecordingMeter())
        self.sent: list[bytes] = []
        self._camera_id = camera_id
        self._redactor = Redactor(RedactSettings())
        self._planes = [make_planes(width, height, seed=seed) for seed in range(noise)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(5)
        self.hub.close()

    def encoder(self) -> H264Encoder:
        """Such as encodes the stream."""
        return H264Encoder(self._camera_id, EncodeSettings(max_bitrate_kbps=50_000, crf=35), fps_hint=FPS)

    def resize(self, width: int, height: int) -> None:
        """From the next picture on."""
        self._planes = [make_planes(width, height, seed=seed) for seed in range(len(self._planes))]

    def picture(self, seq: int) -> RedactedFrame:
        planes = self._planes[seq % len(self._planes)]
        frame = make_frame(seq, camera_id=self._camera_id, pts_ns=seq * 1_000_000_000 // FPS, planes=planes)
        return self._redactor.redact(frame, RedactionPlan(seq))

    def _run(self) -> None:
        encoder = self.encoder()
        for seq in itertools.count():
            if self._stop.wait(1 / FPS):
                break
            packet: EncodedPacket
            for packet in encoder.encode(self.picture(seq), key=self.hub.take_key_request()):
                self.sent.append(tail(packet.data))
                self.hub.put(packet)


class Viewer:
    """A client in this process; `read` returns the tails of the access units that arrived."""

    def __init__(self, url: str, transport: str = "tcp") -> None:
        options = {"rtsp_transport": transport, **OPEN_OPTIONS}
        self._container = av.open(url, options=options, timeout=(5.0, 5.0))
        self._packets = self._container.demux(video=0)

    def read(self, count: int) -> list[bytes]:
        return [tail(bytes(packet)) for packet in itertools.islice(self._packets, count) if packet.size]

    def decode(self, count: int) -> list[av.VideoFrame]:
        return list(itertools.islice((picture for packet in self._packets for picture in packet.decode()), count))

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def contiguous(part: list[bytes], whole: list[bytes]) -> bool:
    """True if `part` occurs in `whole` in one piece."""
    return any(whole[start : start + len(part)] == part for start in range(len(whole) - len(part) + 1))


def wait_for(condition: Callable[[], object], limit_s: float = 5.0) -> None:
    """Ask again until true: what other threads and processes do has no event to wait for."""
    deadline = time.monotonic() + limit_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "not within time"
        pause.wait(0.02)
