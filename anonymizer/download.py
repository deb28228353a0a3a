"""Downloads one file over HTTP, resuming what was interrupted; the file gets its name only if the checksum is right."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from anonymizer.errors import ModelError

_CHUNK_BYTES = 1 << 16
_OK, _PARTIAL, _RANGE_NOT_SATISFIABLE = 200, 206, 416


@dataclass(frozen=True, slots=True)
class Download:
    """What to fetch, and what it must be."""

    url: str  # http or https
    path: Path  # final name; while incomplete, the data is in `part`
    sha256: str
    size_bytes: int
    timeout_s: float = 30.0  # without a byte

    @property
    def part(self) -> Path:
        """The file that holds what has arrived so far."""
        return self.path.with_name(f"{self.path.name}.part")

    def run(self) -> None:
        """Fetch what is missing.

        Raises ModelError when the server, the network or the disk fails, or when the checksum is wrong. A partial
        download is kept for the next attempt, a wrong one is deleted.
        """
        with self._disk_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.part.open("ab") as part:
                if part.tell() < self.size_bytes:
                    self._receive(part)
                part.flush()
                os.fsync(part.fileno())
            self._check()
            self.part.replace(self.path)
            _sync_folder(self.path.parent)

    def _receive(self, part: IO[bytes]) -> None:
        have_bytes = part.tell()
        with self._request(have_bytes) as response:
            if response.status != _PARTIAL or not _continues(response, have_bytes):
                if response.status != _OK:
                    raise ModelError(f"{self.url}: the server answered {response.status}, not the file; check the url")
                part.truncate(0)
                have_bytes = 0
            for chunk in self._chunks(response):
                have_bytes += len(chunk)
                if have_bytes > self.size_bytes:
                    part.truncate(0)
                    raise ModelError(f"{self.url}: is larger than the manifest's {self.size_bytes} bytes; check both")
                part.write(chunk)
        if have_bytes < self.size_bytes:
            raise ModelError(
                f"{self.url}: the connection ended after {have_bytes} of {self.size_bytes} bytes; run it again to go on"
            )

    def _request(self, have_bytes: int) -> http.client.HTTPResponse:
        """The server's answer to a request for everything after the first `have_bytes`."""
        headers = {"Range": f"bytes={have_bytes}-"} if have_bytes else {}
        request = urllib.request.Request(self.url, headers=headers)  # noqa: S310 - the manifest allows http and https only
        with self._network_errors():
            response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=self.timeout_s)  # noqa: S310 - as above
            return response

    def _chunks(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        while True:
            with self._network_errors():
                chunk = response.read(_CHUNK_BYTES)
            if not chunk:
                return
            yield chunk

    def _check(self) -> None:
        with self.part.open("rb") as part:
            found = hashlib.file_digest(part, "sha256").hexdigest()
        if found != self.sha256:
            self.part.unlink()
            raise ModelError(
                f"{self.url}: is not the file that the manifest promises (sha256 {found[:12]}..., expected "
                f"{self.sha256[:12]}...); nothing was kept; check the url and the manifest"
            )

    @contextmanager
    def _network_errors(self) -> Iterator[None]:
        """Turn errors of the server and the network, TLS among them, into a ModelError."""
        try:
            yield
        except urllib.error.HTTPError as error:
            if error.code == _RANGE_NOT_SATISFIABLE:
                self.part.unlink()
                raise ModelError(f"{self.url}: the server cannot resume; run it again to start over") from error
            raise ModelError(f"{self.url}: the server answered {error.code} {error.reason}; check the url") from error
        except urllib.error.URLError as error:
            raise ModelError(f"{self.url}: cannot be reached ({error.reason}); run it again to go on") from error
        except (OSError, http.client.HTTPException) as error:
            raise ModelError(f"{self.url}: the connection broke ({error!r}); run it again to go on") from error

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        """Turn errors of our own files into a ModelError."""
        try:
            yield
        except OSError as error:
            raise ModelError(
                f"{self.path}: cannot be written ({error.strerror}); choose another --models-dir"
            ) from error


def _continues(response: http.client.HTTPResponse, have_bytes: int) -> bool:
    """Whether a partial answer begins where we stopped."""
    return (response.getheader("Content-Range") or "").startswith(f"bytes {have_bytes}-")


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
