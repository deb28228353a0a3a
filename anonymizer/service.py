"""Runs the daemon until a signal stops it, and reloads its settings on SIGHUP."""

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
from anonymizer.audit import same_eyes
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

_ALL_PAGES = 1 | 2 | 4  # MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT of mlockall(2): every page in use, now or later
_WAKEUPS = 4096  # bytes to read at once; a signal writes one, and the socket holds fewer
_NOT_RELOADED = "the settings were not reloaded, the old ones stay in force:\n%s"


def run(settings_path: Path) -> int:
    """Run until SIGTERM or SIGINT, reload on SIGHUP; returns the exit status; raises an AnonymizerError at start."""
    settings = load_settings(settings_path)
    configure(settings.log)
    _stay_out_of_swap()
    cv2.setNumThreads(1)  # each camera has threads already; OpenCV's own would only compete with them
    clock = SystemClock()
    meter = PrometheusMeter(version=__version__, runtime=runtime_name())
    signals = _signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    _warn(settings, clock)
    daemon = Daemon(settings, clock=clock, meter=meter, notifier=ServiceNotifier.from_environment(clock))
    with daemon:
        log.info("anonymizer %s runs with %d cameras", __version__, len(settings.cameras))
        while next(signals) == signal.SIGHUP:
            configure(settings.log)  # forget which warnings were shown: what is still wrong is to be shown again
            settings = _reload(daemon, settings, settings_path, clock)
    log.info("stopped")
    return 0


def _stay_out_of_swap() -> None:
    """Keep raw pictures out of the swap, if the unit allows it: the kernel of a Raspberry Pi ignores MemorySwapMax=."""
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        return  # with a limit, allocations beyond it would fail
    if ctypes.CDLL(None, use_errno=True).mlockall(_ALL_PAGES):
        reason = os.strerror(ctypes.get_errno())
        log.warning("memory cannot be locked (%s): raw pictures may get into the swap; switch swap off", reason)


def _signals(*numbers: signal.Signals) -> Iterator[int]:
    """An iterator that waits for these signals; of several that have come, it gives only the one named first here.

    It waits on a socket, because the kernel may deliver a signal to any thread, which does not wake a main thread that
    waits for a lock. Which signals came is kept in a set: a full socket takes no more bytes.
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
                came.clear()  # a signal that comes at this moment wakes us again
                yield first

    return arriving()


def _reload(daemon: Daemon, old: Settings, settings_path: Path, clock: Clock) -> Settings:
    """Apply what the file says now; returns the settings that are in force afterwards."""
    try:
        settings = load_settings(settings_path)
    except SettingsError as error:
        log.error(_NOT_RELOADED, error)
        return old
    except Exception:  # whatever goes wrong while a file is read, the cameras go on as they were
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
    for text in (*weak_effects(settings), *misplaced(settings), *same_eyes(settings), *faults_of(settings, clock)):
        log.warning("%s", text)
