"""Addresses in the settings: types that refuse what cannot be taken apart later, and what people are told of them."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

from anonymizer.settings.section import problem

MASK = "***"  # in place of what nobody is to read
CAMERA_SCHEMES = ("rtsp://", "rtsps://", "http://", "https://", "file://", "/dev/video", "demo://")
WEB_SCHEMES = ("http://", "https://")
PUSH_SCHEMES = ("rtsp://", "rtsps://")
_WITH_HOST = ("rtsp://", "rtsps://", "http://", "https://")  # of the CAMERA_SCHEMES


def _camera_url(url: str) -> str:
    """Only / ? # need an escape in the login of a camera, because `capture` splits that off by itself."""
    _check_scheme(url, CAMERA_SCHEMES)
    if url.lower().startswith(_WITH_HOST):
        authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
        _check_host(f"//{authority.rpartition('@')[2]}")
    return url


def _push_url(url: str) -> str:
    _check_scheme(url, PUSH_SCHEMES)
    _check_host(url)
    return url


def _web_address(address: SecretStr) -> SecretStr:
    _check_scheme(address.get_secret_value(), WEB_SCHEMES)
    _check_host(address.get_secret_value())
    return address


def _listen_address(address: str) -> str:
    if address != "localhost":
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise problem("must be an IP address of this machine; 127.0.0.1: only itself, 0.0.0.0: all") from None
    return address


def _check_scheme(url: str, schemes: tuple[str, ...]) -> None:
    if not url.lower().startswith(schemes):
        raise problem(f"must begin with one of {', '.join(schemes)}")


def _check_host(url: str) -> None:
    """Refuses an address without a host, or whose port or brackets are wrong."""
    try:
        parts = urlsplit(url)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:  # its text may quote a password
        is_address = False
    if not is_address:
        text = "is no address; write scheme://host:port/path, with every / ? # @ : [ ] in a password percent-encoded"
        raise problem(text)


CameraUrl = Annotated[str, AfterValidator(_camera_url)]
PushUrl = Annotated[str, AfterValidator(_push_url)]
WebAddress = Annotated[SecretStr, AfterValidator(_web_address)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]


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
