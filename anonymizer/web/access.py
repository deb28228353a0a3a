"""Who may look: the password, and the host name that tells a browser's own page from a foreign one."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Access:
    """The rules for one listener."""

    listen: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def guarded(self) -> bool:
        """True if a password is asked for."""
        return bool(self.username and self.password)

    def knows(self, authorization: str | None) -> bool:
        """Does this `Authorization` header (or None) open the door? Takes equally long for every wrong password."""
        if not self.guarded:
            return True
        scheme, _, encoded = (authorization or "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(given, f"{self.username}:{self.password}".encode())

    def is_own_host(self, host: str | None) -> bool:
        """Is this `Host` header one that we are known under?

        Without a password only this machine may look, so a foreign name is another site's page that had its name
        resolved to our address (DNS rebinding). With a password such a page gets nowhere, and any name is fine. Only
        programs other than browsers leave the header out.
        """
        if self.guarded or host is None:
            return True
        name = _host_name(host)
        if name in ("localhost", self.listen.lower()):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def _host_name(host: str) -> str:
    """`name:port` or `[v6]:port` without the port."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")
