"""A reload: what may fail in it, what then holds nevertheless, and what the next one makes good."""

from __future__ import annotations

import base64
import http.client
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
from pydantic import SecretStr

from anonymizer import app, outputs, service
from anonymizer.audit import Audit
from anonymizer.clock import SystemClock
from anonymizer.errors import AnonymizerError, EncodeError, LibraryError, PublishError
from anonymizer.observe.log import configure
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.observe.sd_notify import ServiceNotifier
from anonymizer.ports import Meter
from anonymizer.settings.schema import EncodeSettings, LogLevel, LogSettings, RtspSettings, Settings, WebSettings
from anonymizer.web.server import WebServer
from tests.daemon import free_port
from tests.settings_files import CAMERA, load


class Rtsp:
    """In place of the RTSP server: takes its port, and remembers what all of them were started with."""

    started: list[RtspSettings]

    def __init__(self, settings: RtspSettings, meter: Meter) -> None:
        self._settings = settings
        self._socket: socket.socket | None = None

    def start(self) -> None:
        try:
            self._socket = socket.create_server(("127.0.0.1", self._settings.port))
        except OSError:
            raise PublishError("rtsp.port is taken") from None
        Rtsp.started.append(self._settings)

    def close(self) -> None:
        assert self._socket is not None
        self._socket.close()


class NoInference:
    """A daemon without cameras needs no models."""

    def __init__(self, *_arguments: object) -> None:
        pass

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def healthy(self) -> bool:
        return True


@pytest.fixture
def settings() -> Settings:
    return Settings().model_copy(update={"web": login("old", free_port()), "rtsp": RtspSettings(port=free_port())})


def login(password: str, port: int) -> WebSettings:
    return WebSettings(port=port, username="viewer", password=SecretStr(password))


@pytest.fixture
def daemon(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[app.Daemon]:
    Rtsp.started = []
    monkeypatch.setattr(outputs, "RtspServer", Rtsp)
    monkeypatch.setattr(app, "InferenceStage", NoInference)
    monkeypatch.setattr(app, "check_models", lambda _settings: None)
    monkeypatch.setattr(app.Daemon, "_start_audit", lambda _daemon: None)
    clock, meter = SystemClock(), PrometheusMeter(version="test", runtime="none")
    with app.Daemon(settings, clock=clock, meter=meter, notifier=ServiceNotifier(None, clock)) as running:
        yield running
    assert not listens(settings.rtsp.port)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program has."""
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        yield int(squatter.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def with_(settings: Settings, **sections: object) -> Settings:
    return settings.model_copy(update=sections)


def lets_in(port: int, password: str) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        word = base64.b64encode(f"viewer:{password}".encode()).decode()
        connection.request("GET", "/page.css", headers={"Authorization": f"Basic {word}"})
        return connection.getresponse().status == 200


# --- signals ----------------------------------------------------------------------------------------------------


@pytest.fixture
def signals() -> Iterator[Iterator[int]]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield service._signals(*numbers)
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("reloads", [3, 2000])
def test_a_stop_does_not_wait_for_the_reloads_that_were_asked_for_before_it(
    signals: Iterator[int], reloads: int
) -> None:
    for _ in range(reloads):  # the more of them would fill any queue
        signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGTERM)
    assert next(signals) == signal.SIGTERM


def test_reloads_that_are_asked_for_during_one_are_one_more(signals: Iterator[int]) -> None:
    signal.raise_signal(signal.SIGHUP)
    assert next(signals) == signal.SIGHUP
    for _ in range(9):
        signal.raise_signal(signal.SIGHUP)
    assert next(signals) == signal.SIGHUP
    signal.raise_signal(signal.SIGINT)
    assert next(signals) == signal.SIGINT


# --- the daemon -------------------------------------------------------------------------------------------------


def test_a_taken_rtsp_port_does_not_keep_the_web_server_from_its_new_password(
    daemon: app.Daemon, settings: Settings, taken: int
) -> None:
    port = settings.web.port
    with pytest.raises(PublishError, match=r"rtsp\.port is taken"):
        daemon.reload(with_(settings, rtsp=RtspSettings(port=taken), web=login("new", port)))
    assert lets_in(port, "new")
    assert not lets_in(port, "old")


def test_a_listener_that_did_not_start_is_tried_again_at_every_reload(
    daemon: app.Daemon, settings: Settings, taken: int
) -> None:
    wrong = with_(settings, rtsp=RtspSettings(port=taken))
    for _ in range(2):
        with pytest.raises(PublishError):
            daemon.reload(wrong)
    daemon.reload(settings)
    assert Rtsp.started == [settings.rtsp, settings.rtsp]


def test_a_web_server_that_did_not_start_is_tried_again_though_its_settings_stay(
    daemon: app.Daemon, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_server: object) -> None:
        raise PublishError("web.port is taken")

    new = with_(settings, web=login("new", settings.web.port))
    with monkeypatch.context() as patch:
        patch.setattr(WebServer, "start", refuse)
        with pytest.raises(PublishError, match=r"web\.port is taken"):
            daemon.reload(new)
    daemon.reload(new)
    assert lets_in(new.web.port, "new")


def test_whatever_keeps_a_listener_down_is_told_of_all_of_them(
    daemon: app.Daemon, settings: Settings, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_server: object) -> None:
        raise LibraryError("install python3-gi")

    monkeypatch.setattr(WebServer, "start", refuse)
    with pytest.raises(PublishError) as told:
        daemon.reload(with_(settings, rtsp=RtspSettings(port=taken), web=login("new", settings.web.port)))
    assert str(told.value).splitlines() == ["rtsp.port is taken", "install python3-gi"]


def test_listeners_that_a_reload_does_not_touch_stay_up(daemon: app.Daemon, settings: Settings) -> None:
    server = daemon._outputs._web
    daemon.reload(with_(settings, rtsp=settings.rtsp.model_copy(update={"max_clients": 3})))
    assert daemon._outputs._web is server
    assert len(Rtsp.started) == 2


def test_listeners_may_swap_their_ports(daemon: app.Daemon, settings: Settings) -> None:
    daemon.reload(with_(settings, rtsp=RtspSettings(port=settings.web.port), web=login("new", settings.rtsp.port)))
    assert lets_in(settings.rtsp.port, "new")
    daemon.reload(settings)
    assert lets_in(settings.web.port, "old")


def test_a_listener_that_is_switched_off_is_closed(daemon: app.Daemon, settings: Settings) -> None:
    daemon.reload(with_(settings, rtsp=RtspSettings(enabled=False)))
    assert not listens(settings.rtsp.port)
    daemon.reload(settings)
    assert listens(settings.rtsp.port)


def test_a_stop_does_not_wait_for_the_audit_before_it_ends_the_outputs(daemon: app.Daemon) -> None:
    """An address that findings are sent to may hang, and systemd kills who takes longer than eight seconds to stop."""
    together = threading.Barrier(2, timeout=5)

    class Slow:
        def close(self) -> None:
            together.wait()  # breaks if the other is not closed meanwhile

    running, daemon._outputs, daemon._audit = daemon._outputs, cast(outputs.Outputs, Slow()), cast(Audit, Slow())
    daemon.close()
    daemon._outputs = running
    assert not together.broken


def test_an_encoder_that_cannot_be_chosen_changes_nothing_and_is_tried_again(
    daemon: app.Daemon, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[EncodeSettings] = []

    def refuse(encode: EncodeSettings) -> None:
        tries.append(encode)
        raise EncodeError("no encoder")

    new = with_(settings, encode=EncodeSettings(crf=30), web=login("new", settings.web.port))
    monkeypatch.setattr(app, "choose_codec", refuse)
    for _ in range(2):
        with pytest.raises(EncodeError):
            daemon.reload(new)
    assert tries == [new.encode, new.encode]
    assert lets_in(settings.web.port, "old")


# --- the service ------------------------------------------------------------------------------------------------


class Reloading:
    """A daemon that is told to reload and may refuse."""

    def __init__(self, error: AnonymizerError | None = None) -> None:
        self.error = error
        self.reloads: list[Settings] = []

    def reload(self, new: Settings) -> None:
        self.reloads.append(new)
        if self.error is not None:
            raise self.error


@pytest.fixture
def old(caplog: pytest.LogCaptureFixture) -> Iterator[Settings]:
    """What is in force before the reload."""
    before = logging.getLogger().level
    yield Settings(log=LogSettings(level=LogLevel.WARNING))
    configure(LogSettings())
    logging.getLogger().setLevel(before)


def reload(daemon: Reloading, old: Settings, path: Path) -> Settings:
    return service._reload(daemon, old, path, SystemClock())  # type: ignore[arg-type]


def test_a_file_that_cannot_be_read_for_whatever_reason_leaves_the_old_settings_in_force(
    tmp_path: Path, old: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(_path: Path) -> Settings:
        raise RuntimeError("nobody thought of this")

    daemon = Reloading()
    monkeypatch.setattr(service, "load_settings", crash)
    assert reload(daemon, old, tmp_path / "a.yaml") is old
    assert daemon.reloads == []
    assert "the settings were not reloaded, the old ones stay in force" in caplog.text
    assert "nobody thought of this" in caplog.text


def test_a_reload_that_changed_nothing_is_called_not_reloaded(
    tmp_path: Path, old: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    load(tmp_path, CAMERA)
    assert reload(Reloading(EncodeError("no model 'x'")), old, tmp_path / "a.yaml") is old
    assert caplog.messages == ["the settings were not reloaded, the old ones stay in force:\nno model 'x'"]
    assert logging.getLogger().level == logging.WARNING


def test_a_reload_that_lacks_a_listener_is_called_in_force_but_for_that(
    tmp_path: Path, old: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    new = load(tmp_path, CAMERA)
    assert reload(Reloading(PublishError("rtsp.port is taken")), old, tmp_path / "a.yaml") == new
    (message,) = caplog.messages
    assert message.startswith("the settings are in force, but for this, which every reload tries again:")
    assert message.endswith("rtsp.port is taken")
