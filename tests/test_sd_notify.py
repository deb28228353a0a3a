"""Rules of the talk with systemd, with a real datagram socket in its place."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from anonymizer.clock import FakeClock
from anonymizer.observe.sd_notify import ServiceNotifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@anonymizer-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address.replace("@", "\0", 1))
        sock.settimeout(5)
        yield sock, address


def test_states_arrive_as_the_manual_spells_them(systemd: tuple[socket.socket, str]) -> None:
    sock, address = systemd
    notifier = ServiceNotifier(address, FakeClock(now_ns=5_000_123_456))
    notifier.ready()
    assert sock.recv(4096) == b"READY=1"
    notifier.status("2 cameras\nlive")
    assert sock.recv(4096) == b"STATUS=2 cameras live"
    notifier.pet()
    assert sock.recv(4096) == b"WATCHDOG=1"
    notifier.reloading()
    assert sock.recv(4096) == b"RELOADING=1\nMONOTONIC_USEC=5000123"
    notifier.stopping()
    assert sock.recv(4096) == b"STOPPING=1"


def test_without_systemd_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    notifier = ServiceNotifier.from_environment(FakeClock(), environ={})
    for call in (notifier.ready, notifier.pet, notifier.reloading, notifier.stopping):
        call()
    notifier.status("x")
    assert notifier.watchdog_s is None
    assert not caplog.records


def test_a_vanished_systemd_is_a_warning_not_a_crash(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ServiceNotifier(str(tmp_path / "gone"), FakeClock()).pet()
    assert "WATCHDOG=1" in caplog.text


def test_a_deaf_systemd_does_not_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("anonymizer.observe.sd_notify.SEND_TIMEOUT_S", 0.01)
    address = str(tmp_path / "notify")
    with contextlib.ExitStack() as sockets:
        deaf = sockets.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        deaf.bind(address)
        while said(sockets.enter_context(socket.socket(deaf.family, deaf.type)), address):
            pass  # the queue may be longer than what one sender may have in it
        ServiceNotifier(address, FakeClock()).pet()
    assert "WATCHDOG=1" in caplog.text


def said(filler: socket.socket, address: str) -> int:
    """How much a sender can say until it would have to wait."""
    filler.setblocking(False)
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filler.sendto(b"x", address)
            count += 1
    return count


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "20000000"}, 20.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "77"}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "78"}, None),  # meant for our parent
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_time_counts_only_if_it_is_ours(environ: dict[str, str], expected: float | None) -> None:
    assert ServiceNotifier.from_environment(FakeClock(), environ=environ, pid=77).watchdog_s == expected
