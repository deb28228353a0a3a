"""Where a camera's name and password come from, and how they stay out of everything that people read."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

from pydantic import SecretStr

from anonymizer.settings.schema import CameraSettings


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login; the repr hides the password."""

    username: str
    password: SecretStr


def credentials_of(settings: CameraSettings) -> Credentials | None:
    """The login of a camera, the settings before what the URL holds; None: no login."""
    url_user, url_password = _userinfo(settings.url)
    username = settings.username if settings.username is not None else url_user
    password = url_password
    if settings.password is not None:
        password = settings.password.get_secret_value()
    return None if username is None else Credentials(username, SecretStr(password or ""))


def authorised_url(url: str, credentials: Credentials | None) -> SecretStr:
    """The URL with exactly this login in it, percent-encoded."""
    scheme, mark, rest = url.partition("://")
    rest = _split_userinfo(rest)[1]
    if credentials is not None:
        password = quote(credentials.password.get_secret_value(), safe="")
        rest = f"{quote(credentials.username, safe='')}:{password}@{rest}"
    return SecretStr(scheme + mark + rest)


def _split_userinfo(rest: str) -> tuple[str | None, str]:
    """Userinfo and the remainder of what follows `://` in a URL; a bare @ in the password is tolerated."""
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    userinfo, found, host = rest[:end].rpartition("@")
    return (userinfo, host + rest[end:]) if found else (None, rest)


def _userinfo(url: str) -> tuple[str | None, str | None]:
    """Decoded user name and password of a URL."""
    userinfo = _split_userinfo(url.partition("://")[2])[0]
    if userinfo is None:
        return None, None
    username, colon, password = userinfo.partition(":")
    return unquote(username), unquote(password) if colon else None
