"""Tells systemd the state of the service (sd_notify(3)); without systemd every call does nothing."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

from anonymizer.clock import Clock

SEND_TIMEOUT_S = 1.0

_log = logging.getLogger(__name__)


class ServiceNotifier:
    """Sends state messages to `$NOTIFY_SOCKET`; the supervisor decides when."""

    def __init__(self, address: str | None, clock: Clock, *, watchdog_s: float | None = None) -> None:
        """`address` is a path, or `@name` for an abstract socket; None switches everything off."""
        self._address = address
        self._clock = clock
        self.watchdog_s = watchdog_s  # systemd kills us after this long without `pet()`; None: it does not watch

    @classmethod
    def from_environment(
        cls, clock: Clock, *, environ: Mapping[str, str] | None = None, pid: int | None = None
    ) -> ServiceNotifier:
        """As systemd asks in the environment of this process."""
        environ = os.environ if environ is None else environ
        return cls(
            environ.get("NOTIFY_SOCKET") or None,
            clock,
            watchdog_s=_watchdog_s(environ, os.getpid() if pid is None else pid),
        )

    def ready(self) -> None:
        """Tell that the start, or the reload announced by `reloading`, is finished."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`."""
        self._send(f"STATUS={' '.join(text.split())}")

    def pet(self) -> None:
        """Feed the watchdog, which restarts the service otherwise."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Tell that a reload has begun; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={self._clock.now_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that the shut-down has begun."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if self._address is None:
            return
        path = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.settimeout(SEND_TIMEOUT_S)
                sock.sendto(state.encode(), path)
        except OSError as exc:
            _log.warning("systemd did not take %s: %s", state.partition("\n")[0], exc)


def _watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    """The time-out of the watchdog; None unless it is valid and meant for this process."""
    microseconds, meant_for = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    if meant_for and meant_for != str(pid):
        return None
    return int(microseconds) / 1e6
