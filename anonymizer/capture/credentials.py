"""Where a camera's name and password come from, and how they stay out of everything that people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from pydantic import SecretStr

from anonymizer.errors import SourceError
from anonymizer.settings.schema import CameraSettings


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login; the repr hides the password."""

    username: str
    password: SecretStr


def password_path(password_file: Path, environ: Mapping[str, str]) -> Path:
    """The file meant: relative names live in systemd's $CREDENTIALS_DIRECTORY; raises SourceError without one."""
    if password_file.is_absolute():
        return password_file
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise SourceError(
            f"password_file {password_file} is a relative name, which needs systemd's LoadCredential= "
            f"(no $CREDENTIALS_DIRECTORY here); write LoadCredential={password_file.name}:/path into the unit, "
            "or an absolute path into the YAML"
        )
    return Path(folder) / password_file


def credentials_of(settings: CameraSettings, environ: Mapping[str, str]) -> Credentials | None:
    """The login of a camera: `password_file`, else `password`, else what the URL holds; None: no login.

    Raises SourceError when the file cannot be read.
    """
    url_user, url_password = _userinfo(settings.url)
    username = settings.username if settings.username is not None else url_user
    password = url_password
    if settings.password_file is not None:
        password = _read_password(password_path(settings.password_file, environ))
    elif settings.password is not None:
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


def public_url(url: str) -> str:
    """The URL as messages may show it: without login, query values and fragment.

    Hidden entirely if an @ is left over: then a password with a bare / or ? in it may be what looks like the path.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    address = _split_userinfo(rest)[1]
    if "@" in address:
        return f"{scheme}://(hidden: percent-encode every / ? # @ in the password)"
    place, question, _ = address.partition("#")[0].partition("?")
    return f"{scheme}://{place}?..." if question else f"{scheme}://{place}"


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


def _read_password(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SourceError(f"cannot read password_file {path}: {reason}; check its name and permissions") from None
