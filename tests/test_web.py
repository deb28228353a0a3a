"""Rules of the web server, with a real socket and a real client."""

from __future__ import annotations

import base64
import errno
import http.client
import json
import logging
import os
import re
import socketserver
from collections.abc import Callable
from contextlib import closing

import pytest
from pydantic import SecretStr

from anonymizer.errors import PublishError
from tests.web_rig import EVERY_PAGE, JPEG, SIGNED_IN, Web

# Routes


def test_the_page_is_whole_by_itself_and_runs_no_inline_code(web: Web) -> None:
    response, body = web.ask("/")
    page = body.decode()
    assert response.status == 200
    assert response.headers.get_content_type() == "text/html"
    assert "://" not in page
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", page)
    for name in re.findall(r'(?:href|src)="([^"]+)"', page):
        assert web.status(f"/{name}") == 200


def test_the_page_asks_without_the_login_in_its_own_address(web: Web) -> None:
    script = web.ask("/page.js")[1].decode()
    assert re.findall(r"fetch\((.*?), \{", script) == ["new URL(path, location.origin + location.pathname)"]
    assert ".src =" not in script  # no picture is loaded past it


def test_the_api_tells_the_state_of_every_camera(web: Web) -> None:
    response, body = web.ask("/api/cameras")
    report = json.loads(body)
    assert response.headers.get_content_type() == "application/json"
    assert (report["version"], report["ready"], report["healthy"]) == ("1.2.3", True, True)
    assert [camera["id"] for camera in report["cameras"]] == ["door", "yard"]
    assert report["cameras"][0]["rtsp_url"] == "rtsp://127.0.0.1:8554/door"


def test_a_snapshot_is_the_newest_redacted_picture(web: Web) -> None:
    web.show()
    response, first = web.ask("/cameras/door/snapshot.jpg?t=5")
    assert (response.status, response.headers["Content-Type"], first[:2]) == (200, "image/jpeg", JPEG)
    tag = response.headers["ETag"]
    assert web.status("/cameras/door/snapshot.jpg", **{"If-None-Match": tag}) == 304
    web.show()
    assert web.status("/cameras/door/snapshot.jpg", **{"If-None-Match": tag}) == 200


def test_before_the_first_picture_there_is_none(web: Web) -> None:
    for path in ("/cameras/door/snapshot.jpg", "/cameras/door/stream.mjpeg"):
        response, body = web.ask(path)
        assert (response.status, body) == (404, b"No picture yet.\n")


def test_a_camera_that_left_the_settings_is_unknown_though_a_picture_is_left(web: Web) -> None:
    web.show("door")
    web.board.camera_ids = ("yard",)
    assert web.status("/cameras/door/snapshot.jpg") == 404
    assert web.status("/cameras/door/stream.mjpeg") == 404


def test_probes_follow_the_board(web: Web) -> None:
    assert web.ask("/healthz")[1] == b"ok\n"
    assert web.ask("/readyz")[1] == b"ready\n"
    web.board.is_healthy = web.board.is_ready = False
    assert (web.status("/healthz"), web.status("/readyz")) == (503, 503)


def test_metrics_are_served_in_the_text_format(web: Web) -> None:
    response, body = web.ask("/metrics")
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert body == b"anonymizer_test 1\n"


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/static/page.html",
        "/page.js/",
        "/%70age.js",
        "/cameras/../page.js",
        "/cameras/..%2f..%2fetc%2fpasswd/snapshot.jpg",
        "/cameras/door/",
        "/cameras//snapshot.jpg",
        "/cameras/DOOR/snapshot.jpg",
        "/cameras/<script>alert(1)</script>/snapshot.jpg",
        "/cameras/door/snapshot.jpg%0a",
        "*",
        "http://127.0.0.1/",
    ],
)
def test_other_paths_are_not_found_and_not_repeated(web: Web, path: str) -> None:
    answer = web.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"script" not in answer
    assert b"passwd" not in answer


def test_head_gives_headers_only(web: Web) -> None:
    web.show()
    for path in ("/", "/api/cameras", "/cameras/door/snapshot.jpg"):
        response, body = web.ask(path, "HEAD")
        assert (response.status, body) == (200, b"")
        assert int(response.headers["Content-Length"]) > 0
    response, _ = web.ask("/cameras/door/stream.mjpeg", "HEAD")
    assert response.headers.get_content_type() == "multipart/x-mixed-replace"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "<b>"])
def test_only_get_and_head_are_understood(web: Web, method: str) -> None:
    answer = web.raw(f"{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"Allow: GET, HEAD\r\n" in answer
    assert b"<b>" not in answer


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"<script>\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET / HTTP/x\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # TLS to a plain port
    ],
)
def test_rubbish_is_refused_and_not_repeated(web: Web, request_bytes: bytes, status: int) -> None:
    answer = web.raw(request_bytes)
    assert re.match(rb"HTTP/1\.\d %d " % status, answer)
    assert b"<script>" not in answer
    assert web.status("/healthz") == 200


@pytest.mark.parametrize(
    "path", ["/", "/api/cameras", "/metrics", "/healthz", "/nothing", "/cameras/door/snapshot.jpg"]
)
def test_every_answer_carries_the_security_headers(web: Web, path: str) -> None:
    response, _ = web.ask(path)
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Server"] == "anonymizer"
    assert "Access-Control-Allow-Origin" not in response.headers


def test_a_failure_inside_is_a_500_without_details_and_the_server_lives_on(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    web.board.broken = True
    response, body = web.ask("/api/cameras")
    assert response.status == 500
    assert b"broken" not in body
    assert "board <b>broken</b>" in caplog.text
    web.board.broken = False
    assert web.status("/api/cameras") == 200


# Who may look


def test_with_a_password_nothing_but_the_probes_is_open(start: Callable[..., Web]) -> None:
    web = start(username="viewer", password=SecretStr("hunter2"))
    web.show()
    for path in (*EVERY_PAGE, "/cameras/roof/snapshot.jpg", "/nowhere"):
        for headers in ({}, {"Authorization": "Basic " + base64.b64encode(b"viewer:wrong").decode()}):
            response, body = web.ask(path, headers=headers)
            assert (path, response.status, body) == (path, 401, b"A password is needed.\n")
            assert response.headers["WWW-Authenticate"].startswith("Basic ")
    assert (web.status("/healthz"), web.status("/readyz")) == (200, 200)
    assert web.status("/", **SIGNED_IN, Host="cameras.example.org") == 200
    assert web.status("/cameras/door/snapshot.jpg", **SIGNED_IN) == 200


def test_wrong_passwords_are_logged_once_a_minute_without_the_password(
    start: Callable[..., Web], caplog: pytest.LogCaptureFixture
) -> None:
    web = start(username="viewer", password=SecretStr("hunter2"))
    for _ in range(3):
        web.status("/", Authorization="Basic " + base64.b64encode(b"viewer:gue55").decode())
    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 1
    assert vars(told[0])["client"] == "127.0.0.1"
    assert "gue55" not in caplog.text


def test_without_a_password_a_rebound_foreign_name_gets_nothing(web: Web) -> None:
    for path in EVERY_PAGE:
        assert web.status(path, Host="evil.example") == 403
    assert web.status("/", Host="localhost:8080") == 200
    assert web.raw(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")  # no browser asks like this


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"listen": "0.0.0.0"}, ("web.listen", "web.password_file")),  # noqa: S104
        ({"listen": "::"}, ("web.listen", "web.password_file")),
        ({"listen": "192.168.1.5"}, ("web.listen", "web.password_file")),
        ({"password_file": "web-password"}, ("web.username", "web.password_file")),  # nobody has read it yet
        ({"username": "viewer", "password": SecretStr("")}, ("web.username", "web.password_file")),
        ({"password": SecretStr("hunter2")}, ("web.username", "web.password_file")),
    ],
)
def test_it_refuses_to_serve_others_or_half_a_password(
    start: Callable[..., Web], changes: dict[str, object], names: tuple[str, ...]
) -> None:
    with pytest.raises(PublishError) as caught:
        start(**changes)
    for name in names:
        assert name in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_with_a_password_it_serves_all_addresses(start: Callable[..., Web]) -> None:
    web = start(listen="0.0.0.0", username="viewer", password=SecretStr("hunter2"))  # noqa: S104
    assert web.server.url == f"http://127.0.0.1:{web.server.port}/"
    assert web.status("/", **SIGNED_IN) == 200


def test_it_serves_ipv6(start: Callable[..., Web]) -> None:
    try:
        web = start(listen="::1")
    except PublishError:
        pytest.skip("this machine has no IPv6 loopback")
    assert web.server.url == f"http://[::1]:{web.server.port}/"
    with closing(http.client.HTTPConnection("::1", web.server.port, timeout=10)) as connection:
        connection.request("GET", "/api/cameras")
        report = json.loads(connection.getresponse().read())
    assert report["cameras"][0]["rtsp_url"] == "rtsp://[::1]:8554/door"


def test_a_taken_port_names_the_setting(web: Web, start: Callable[..., Web]) -> None:
    with pytest.raises(PublishError, match=r"web\.port"):
        start(port=web.server.port)


def test_an_address_that_is_not_ours_names_the_setting(start: Callable[..., Web]) -> None:
    with pytest.raises(PublishError, match=r"no such address.*web\.listen"):
        start(listen="192.0.2.1", username="viewer", password=SecretStr("hunter2"))


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EACCES, "1024 or more"), (errno.ENETDOWN, "Network is down; check web.listen")]
)
def test_other_failures_to_listen_say_what_to_do(
    start: Callable[..., Web], monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def fail(self: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socketserver.TCPServer, "server_bind", fail)
    with pytest.raises(PublishError, match=words):
        start()


def test_there_is_no_port_before_start(web: Web) -> None:
    web.server.close()
    with pytest.raises(PublishError, match="not running"):
        _ = web.server.port
