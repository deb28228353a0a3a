"""The daemon as a service: runs until a signal stops it, reloads its settings on SIGHUP."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import cv2

from anonymizer import __version__
from anonymizer.app import Daemon
from anonymizer.clock import Clock, SystemClock
from anonymizer.detect.engine import runtime_name
from anonymizer.errors import AnonymizerError, PublishError, SettingsError
from anonymizer.identities import faults_of
from anonymizer.observe.log import configure
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.observe.sd_notify import ServiceNotifier
from anonymizer.redact.strength import weak_effects
from anonymizer.settings.load import load_settings
from anonymizer.settings.schema import Settings
from anonymizer.silhouettes import misplaced

log = logging.getLogger(__name__)

_ALL_PAGES = 1 | 2 | 4  # MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT of mlockall(2): those in use, now and later
_WAKEUPS = 4096  # bytes, one a signal: more than the socket holds
_NOT_RELOADED = "the settings were not reloaded, the old ones stay in force:\n%s"


def run(settings_path: Path) -> int:
    """Run until SIGTERM or SIGINT, reload on SIGHUP; returns the exit status. Raises an AnonymizerError at start."""
    settings = load_settings(settings_path)
    configure(settings.log)
    _stay_out_of_swap()
    cv2.setNumThreads(1)  # our threads are the cameras; OpenCV's own would only fight over the cores
    clock = SystemClock()
    meter = PrometheusMeter(version=__version__, runtime=runtime_name())
    signals = _signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    _warn(settings, clock)
    daemon = Daemon(settings, clock=clock, meter=meter, notifier=ServiceNotifier.from_environment(clock))
    with daemon:
        log.info("anonymizer %s runs with %d cameras", __version__, len(settings.cameras))
        while next(signals) == signal.SIGHUP:
            configure(settings.log)  # counts repeats anew: who reads the same mistake again is told of it again
            settings = _reload(daemon, settings, settings_path, clock)
    log.info("stopped")
    return 0


def _stay_out_of_swap() -> None:
    """Lock our memory where the unit allows it, for raw pictures: a Raspberry Pi's kernel ignores MemorySwapMax=."""
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        return  # locked memory would be short, and a mapping beyond it fail
    if ctypes.CDLL(None, use_errno=True).mlockall(_ALL_PAGES):
        reason = os.strerror(ctypes.get_errno())
        log.warning("memory cannot be locked (%s): raw pictures may get into the swap; switch swap off", reason)


def _signals(*numbers: signal.Signals) -> Iterator[int]:
    """Waits for these signals; of several that came meanwhile, the one named first stands for all.

    Through a socket, because the kernel may hand a signal to any thread, and then nothing wakes a main thread that
    waits for a lock. What has come is noted beside it: a full socket takes no more bytes.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)  # noqa: FBT003 - the standard library's signature
    came: set[int] = set()
    for number in numbers:
        signal.signal(number, lambda number, _frame: came.add(number))
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def arriving() -> Iterator[int]:
        with reader, writer:
            while True:
                came.update(reader.recv(_WAKEUPS))
                first = next(number for number in numbers if number in came)
                came.clear()  # what comes right now wakes us again
                yield first

    return arriving()


def _reload(daemon: Daemon, old: Settings, settings_path: Path, clock: Clock) -> Settings:
    """Go over to what the file says now; returns the settings that the log follows from now on."""
    try:
        settings = load_settings(settings_path)
    except SettingsError as error:
        log.error(_NOT_RELOADED, error)
        return old
    except Exception:  # whatever a file can do to its reader, the cameras go on as they were
        log.exception(_NOT_RELOADED, "they could not be read, which is a fault of this program")
        return old
    configure(settings.log)
    try:
        daemon.reload(settings)
    except PublishError as error:
        log.error("the settings are in force, but for this, which every reload tries again:\n%s", error)
    except AnonymizerError as error:
        configure(old.log)
        log.error(_NOT_RELOADED, error)
        return old
    else:
        log.info("settings reloaded, %d cameras", len(settings.cameras))
    _warn(settings, clock)
    return settings


def _warn(settings: Settings, clock: Clock) -> None:
    for text in (*weak_effects(settings), *misplaced(settings), *faults_of(settings, clock)):
        log.warning("%s", text)
