"""Downloads from a real HTTP server that misbehaves in every way."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from anonymizer.download import Download
from anonymizer.errors import ModelError

CONTENT = bytes(range(256)) * 1024


@dataclass
class Server:
    """What the server does with the next requests, and what it was asked."""

    content: bytes = CONTENT
    status: int = 200
    ranges: bool = True  # knows the header Range
    wrong_range: bool = False  # answers another part than the one asked for
    stop_after: int | None = None  # bytes of an answer, then the connection ends
    silent: threading.Event | None = None  # says nothing until it is set
    asked: list[str | None] = field(default_factory=list)  # the Range of each request
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers["Range"]
        self.asked.append(wanted)
        if self.silent is not None:
            self.silent.wait(10)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start and start >= len(self.content):
            request.send_error(416)
            return
        request.send_response(206 if start and self.status == 200 else self.status)
        if start:
            first = 0 if self.wrong_range else start
            request.send_header("Content-Range", f"bytes {first}-{len(self.content) - 1}/{len(self.content)}")
        request.send_header("Content-Length", str(len(self.content) - start))
        request.end_headers()
        body = self.content[start:]
        request.wfile.write(body[: self.stop_after])


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}/model.tflite"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()


@pytest.fixture
def download(server: Server, tmp_path: Path) -> Download:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return Download(server.url, tmp_path / "models" / "m.tflite", digest, len(CONTENT), timeout_s=5)


def files(download: Download) -> list[str]:
    return sorted(path.name for path in download.path.parent.iterdir())


def test_a_file_arrives_under_its_name_alone(download: Download) -> None:
    download.run()
    assert download.path.read_bytes() == CONTENT
    assert files(download) == ["m.tflite"]


def test_an_interrupted_download_goes_on_where_it_stopped(download: Download, server: Server) -> None:
    server.stop_after = 100_000
    with pytest.raises(ModelError, match="ended after 100000 of 262144 bytes; run it again to go on"):
        download.run()
    assert files(download) == ["m.tflite.part"]
    server.stop_after = None
    download.run()
    assert server.asked == [None, "bytes=100000-"]
    assert download.path.read_bytes() == CONTENT
    assert files(download) == ["m.tflite"]


@pytest.mark.parametrize("lack", [{"ranges": False}, {"wrong_range": True}])
def test_a_server_that_cannot_resume_sends_everything_anew(
    download: Download, server: Server, lack: dict[str, bool]
) -> None:
    download.path.parent.mkdir()
    download.part.write_bytes(CONTENT[:1000])
    for name, value in lack.items():
        setattr(server, name, value)
    if server.wrong_range:
        with pytest.raises(ModelError, match="answered 206, not the file"):
            download.run()
        assert files(download) == ["m.tflite.part"]
    else:
        download.run()
        assert download.path.read_bytes() == CONTENT


def test_a_complete_part_is_not_fetched_again(download: Download, server: Server) -> None:
    download.path.parent.mkdir()
    download.part.write_bytes(CONTENT)
    download.run()
    assert server.asked == []
    assert download.path.read_bytes() == CONTENT


def test_another_file_is_refused_and_not_kept(download: Download, server: Server) -> None:
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(ModelError, match=r"is not the file that the manifest promises .*; nothing was kept"):
        download.run()
    assert files(download) == []


def test_a_spoilt_part_is_refused_and_fetched_anew(download: Download) -> None:
    download.path.parent.mkdir()
    download.part.write_bytes(b"?" * 1000)
    with pytest.raises(ModelError, match="is not the file"):
        download.run()
    download.run()
    assert download.path.read_bytes() == CONTENT


def test_a_refused_file_leaves_the_one_that_is_there(download: Download, server: Server) -> None:
    download.path.parent.mkdir()
    download.path.write_bytes(b"old")
    server.content = b"?" * len(CONTENT)
    with pytest.raises(ModelError, match="is not the file"):
        download.run()
    assert download.path.read_bytes() == b"old"


def test_a_larger_file_is_not_read_to_its_end(download: Download, server: Server) -> None:
    server.content = CONTENT + b"?"
    with pytest.raises(ModelError, match="larger than the manifest's 262144 bytes"):
        download.run()
    assert download.part.stat().st_size == 0


def test_a_part_that_the_server_cannot_continue_is_dropped(download: Download, server: Server) -> None:
    download.path.parent.mkdir()
    download.part.write_bytes(CONTENT[:1000])
    server.content = CONTENT[:500]
    with pytest.raises(ModelError, match="cannot resume; run it again to start over"):
        download.run()
    assert files(download) == []


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_refusal_is_told(download: Download, server: Server, status: int) -> None:
    server.status = status
    with pytest.raises(ModelError, match=f"answered {status} .*; check the url"):
        download.run()
    assert not download.path.exists()


def test_an_answer_without_the_file_is_refused(download: Download, server: Server) -> None:
    server.status = 202
    with pytest.raises(ModelError, match="answered 202, not the file"):
        download.run()


def test_a_silent_server_is_given_up(download: Download, server: Server) -> None:
    server.silent = threading.Event()
    with pytest.raises(ModelError, match="timed out"):
        replace(download, timeout_s=0.2).run()
    server.silent.set()


def test_a_server_that_is_not_there_is_told(download: Download) -> None:
    with pytest.raises(ModelError, match=r"cannot be reached .*Connection refused"):
        replace(download, url="http://127.0.0.1:9/m.tflite").run()


def test_a_connection_that_tls_breaks_off_is_not_blamed_on_the_disk(
    download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(_response: object, _size: int) -> bytes:
        raise ssl.SSLError(1, "decryption failed or bad record mac")

    monkeypatch.setattr(http.client.HTTPResponse, "read", break_off)
    with pytest.raises(ModelError, match=r"the connection broke .*bad record mac.*; run it again to go on"):
        download.run()


def test_a_folder_that_cannot_be_written_is_told(download: Download, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        replace(download, path=tmp_path / "file" / "m.tflite").run()
