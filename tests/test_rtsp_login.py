"""Logging in at the RTSP server: what strangers learn, and what the log tells whoever set up a viewer wrongly."""

from __future__ import annotations

import hashlib
import io
import logging
import re
import socket
from collections.abc import Iterator

import av
import pytest
from pydantic import SecretStr

from anonymizer.clock import FakeClock
from anonymizer.observe.log import configure
from anonymizer.publish.hub import Hub
from anonymizer.publish.rtsp_server import RtspServer
from anonymizer.settings.schema import LogFormat, LogSettings
from tests.fakes import RecordingMeter
from tests.publishing import LiveStream, Viewer, settings, url

pytestmark = pytest.mark.e2e
METHODS = ("OPTIONS", "DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "SET_PARAMETER", "ANNOUNCE")


@pytest.fixture
def server() -> Iterator[RtspServer]:
    secret = settings(username="guard", password=SecretStr("s3cret"))
    with RtspServer(secret, RecordingMeter()) as running:
        running.mount("door", Hub("door", RecordingMeter()))
        yield running


def answer(client: socket.socket, server: RtspServer, method: str, path: str, *headers: str) -> str:
    lines = (f"{method} rtsp://127.0.0.1:{server.port}{path} RTSP/1.0", "CSeq: 1", *headers, "", "")
    client.sendall("\r\n".join(lines).encode())
    return client.recv(4096).decode()


def asked(server: RtspServer, method: str, path: str, *headers: str) -> str:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        return answer(client, server, method, path, *headers)


def logged_in(server: RtspServer, path: str, password: str = "s3cret") -> str:  # noqa: S107
    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 - RFC 2069

    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        challenge = re.search(r'nonce="(\w+)"', answer(client, server, "DESCRIBE", path))
        assert challenge is not None
        nonce, place = challenge[1], f"rtsp://127.0.0.1:{server.port}{path}"
        proof = md5(f"{md5(f'guard:anonymizer:{password}')}:{nonce}:{md5(f'DESCRIBE:{place}')}")
        login = f'username="guard", realm="anonymizer", nonce="{nonce}", uri="{place}", response="{proof}"'
        return answer(client, server, "DESCRIBE", path, f"Authorization: Digest {login}")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("login", [(), ("Authorization: Basic Z3VhcmQ6eA==",), ('Authorization: Digest nonce="x"',)])
@pytest.mark.parametrize("below", ["", "/stream=0", "/x?y=z"])
def test_who_has_no_password_is_answered_alike_whether_there_is_such_a_camera_or_not(
    server: RtspServer, method: str, login: tuple[str, ...], below: str
) -> None:
    def shape(path: str) -> str:
        headers = (*login, *(("Transport: RTP/AVP/TCP;unicast;interleaved=0-1",) if method == "SETUP" else ()))
        text = asked(server, method, path + below, *headers)
        return re.sub(r'nonce="\w+"|Date: .*|Session: .*', "", text)

    assert shape("/door") == shape("/roof")
    assert ("401" in shape("/door")) == (method in ("DESCRIBE", "SETUP"))


def test_who_has_the_password_is_told_that_there_is_no_such_camera(server: RtspServer) -> None:
    assert "404" in logged_in(server, "/roof").splitlines()[0]
    assert "401" in logged_in(server, "/roof", "wrong").splitlines()[0]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    configure(LogSettings(format=LogFormat.PLAIN), stream=stream, clock=FakeClock())
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_wrong_password_is_one_line_with_camera_and_address_and_the_right_one_or_none_is_none(
    log: io.StringIO,
) -> None:
    secret = settings(username="guard", password=SecretStr("s3cret"))
    with RtspServer(secret, RecordingMeter()) as server, LiveStream("door") as stream:
        server.mount("door", stream.hub)
        with Viewer(url(server, "door", login="guard:s3cret@")) as viewer:
            viewer.read(1)
        with pytest.raises(av.error.HTTPUnauthorizedError):
            Viewer(url(server, "door"))
        assert "refused" not in log.getvalue()
        for _ in range(3):
            with pytest.raises(av.error.HTTPUnauthorizedError):
                Viewer(url(server, "door", login="guard:hunter2@"))
    (line,) = (line for line in log.getvalue().splitlines() if "refused" in line)
    assert "camera door: refused the login of an RTSP viewer" in line
    assert line.endswith("client=127.0.0.1")
    assert "hunter2" not in line


def test_a_scanner_neither_floods_the_log_nor_writes_into_it(server: RtspServer, log: io.StringIO) -> None:
    for number in range(20):
        asked(server, "DESCRIBE", f"/guess{number}%0aforged", "Authorization: Basic Zm9yZ2VkOmZvcmdlZA==")
    refused = [line for line in log.getvalue().splitlines() if "refused" in line]
    assert len(refused) == 1
    assert "camera (none of this name): refused" in refused[0]
    assert "guess" not in log.getvalue()
    assert "forged" not in log.getvalue()
