"""Addresses of other machines in the settings: whether they can be taken apart, before anything relies on that."""

from __future__ import annotations

from urllib.parse import urlsplit

from anonymizer.settings.section import problem


def checked_address(url: str, schemes: tuple[str, ...]) -> str:
    """The address itself; raises for another scheme, no host, or a port or brackets that are wrong."""
    if not url.lower().startswith(schemes):
        raise problem(f"must begin with one of {', '.join(schemes)}")
    try:
        parts = urlsplit(url)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:  # its text may quote a password
        is_address = False
    if not is_address:
        text = "is no address; write scheme://host:port/path, with every / ? # @ : [ ] in a password percent-encoded"
        raise problem(text)
    return url
