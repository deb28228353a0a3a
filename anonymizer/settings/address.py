"""Addresses of other machines in the settings: whether they can be taken apart, and what people are told of them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from anonymizer.settings.section import problem

MASK = "***"  # in place of what nobody is to read

_CAMERAS_OF_A_NETWORK = ("rtsp://", "rtsps://", "http://", "https://")


def checked_address(url: str, schemes: tuple[str, ...]) -> str:
    """The address itself; raises for another scheme, no host, or a port or brackets that are wrong."""
    _check_scheme(url, schemes)
    _check_place(url)
    return url


def checked_camera(url: str, schemes: tuple[str, ...]) -> str:
    """The same, but only / ? # need an escape in its login, for `capture` takes that apart by itself."""
    _check_scheme(url, schemes)
    if url.lower().startswith(_CAMERAS_OF_A_NETWORK):
        authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
        _check_place(f"//{authority.rpartition('@')[2]}")
    return url


def public_address(url: str) -> str:
    """The address as logs, pages and errors may tell it: scheme, host and port, with a mark where more follows.

    Cameras and services take keys in the path and in the query. Hidden entirely if an @ is left over: then a password
    with a bare / or ? in it may be what looks like the host.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    authority, *more = re.split(r"[/?#]", rest, maxsplit=1)
    if any("@" in part for part in more):
        return f"{scheme}://(hidden: percent-encode every / ? # @ in the password)"
    place = f"{scheme}://{authority.rpartition('@')[2]}"
    return f"{place}/{MASK}" if any(more) else place + rest[len(authority) :]


def _check_scheme(url: str, schemes: tuple[str, ...]) -> None:
    if not url.lower().startswith(schemes):
        raise problem(f"must begin with one of {', '.join(schemes)}")


def _check_place(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:  # its text may quote a password
        is_address = False
    if not is_address:
        text = "is no address; write scheme://host:port/path, with every / ? # @ : [ ] in a password percent-encoded"
        raise problem(text)
