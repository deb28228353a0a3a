"""A YAML file to Settings: every mistake found in one go, with file, line, key and what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from anonymizer.errors import SettingsError
from anonymizer.settings.document import PLACEHOLDER, Document, Loc, Value, parse
from anonymizer.settings.identities import LEAST_LOOKAHEAD_MS
from anonymizer.settings.pictures import check_pictures, read_pictures
from anonymizer.settings.schema import CameraSettings, PrivacySettings, RedactSettings, Settings, TargetName
from anonymizer.settings.wording import explain, unknown_empty

_MAX_PASSWORD_BYTES = 4096
_BREAK = re.compile(r"[\0\r\n]")  # other programs would end the password there


def load_settings(path: Path, *, environ: Mapping[str, str] | None = None) -> Settings:
    """Read, fill in and check one file.

    In the result, `password` also holds passwords from files, `image` holds the content of the picture file, and every
    camera has complete `privacy` and `redact` sections. `environ`: None for the environment of the process.
    Raises SettingsError; its text has a line for each problem: `file:line: key: what is wrong; what to do`.
    """
    environ = os.environ if environ is None else environ
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from None
    document = parse(raw, environ)
    _fill_in_passwords(document, environ)
    read_pictures(document)
    settings = _validate(document)
    if settings is None:
        lines = {f"{path}:{p.line}: {p.key}{': ' if p.key else ''}{p.text}": p.line for p in document.problems}
        raise SettingsError("\n".join(sorted(lines, key=lambda text: lines[text])))
    return settings


def _validate(document: Document) -> Settings | None:
    syntax_is_wrong = bool(document.problems) and not document.data
    for loc, between_braces in document.empty.items():
        if (unknown := unknown_empty(loc, between_braces=between_braces)) is not None:
            document.report(*unknown, line=document.line(loc))
    settings = None
    try:
        settings = Settings.model_validate(document.data)
    except ValidationError as errors:
        for error in errors.errors(include_url=False, include_input=False):
            document.report(*explain(error, _look_up(document.data, error["loc"])))
    if not syntax_is_wrong and not document.data.get("cameras"):
        document.report(("cameras",), "no camera is named; give at least one, with id and url")
    if settings is None or document.problems:
        return None
    settings = _resolve(settings)
    check_pictures(document, settings)
    _check_privacy(document, settings)
    _check_identities(document, settings)
    return None if document.problems else settings


def _resolve(settings: Settings) -> Settings:
    """Complete sections with the defaults, and those of cameras with the site's values, for keys that are left out."""
    privacy = settings.privacy.over(PrivacySettings())
    redact = settings.redact.over(RedactSettings())

    def whole(camera: CameraSettings) -> CameraSettings:
        own_privacy = camera.privacy.over(privacy) if camera.privacy else privacy
        own_redact = camera.redact.over(redact) if camera.redact else redact
        return camera.model_copy(update={"privacy": own_privacy, "redact": own_redact})

    cameras = tuple(whole(camera) for camera in settings.cameras)
    return settings.model_copy(update={"cameras": cameras, "privacy": privacy, "redact": redact})


def _check_privacy(document: Document, settings: Settings) -> None:
    """Report cameras whose own keys contradict the site's; `settings` are resolved."""
    for index, camera in enumerate(settings.cameras):
        try:
            PrivacySettings.model_validate(dict(camera.privacy or settings.privacy))
        except ValidationError as errors:
            for error in errors.errors(include_url=False, include_input=False):
                loc, text = explain(error, None)
                document.report(("cameras", index, "privacy", *loc), text)


def _check_identities(document: Document, settings: Settings) -> None:
    """Report cameras that recognise people but have other keys that prevent it; `settings` are resolved."""
    for index, camera in enumerate(settings.cameras):
        privacy = camera.privacy or settings.privacy
        if not camera.identities.names:
            continue
        if TargetName.FACE not in privacy.targets:
            document.report(("cameras", index, "identities"), "recognises faces; name face among privacy.targets")
        elif privacy.effective_lookahead_ms < LEAST_LOOKAHEAD_MS:
            text = f"needs a privacy.lookahead_ms of {LEAST_LOOKAHEAD_MS} or more, and not privacy.mode live"
            document.report(("cameras", index, "identities"), text)


def _look_up(data: Value, loc: Loc) -> object:
    value: object = data
    for part in loc:
        if isinstance(value, dict) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part]
    return value


def _fill_in_passwords(document: Document, environ: Mapping[str, str]) -> None:
    cameras = document.data.get("cameras")
    places: list[Loc] = [("cameras", index) for index in range(len(cameras))] if isinstance(cameras, list) else []
    for loc in (*places, ("rtsp",), ("web",)):
        section = _look_up(document.data, loc)
        if not isinstance(section, dict) or not isinstance(section.get("password_file"), str):
            continue
        name = str(section.pop("password_file"))
        here = (*loc, "password_file")
        if "password" in section:
            document.report(here, "give password or password_file, not both")
        else:
            section["password"] = _read_password(name, here, document, environ)


def _read_password(name: str, loc: Loc, document: Document, environ: Mapping[str, str]) -> str:
    file, folder, remedy = Path(name), environ.get("CREDENTIALS_DIRECTORY"), ""
    if not file.is_absolute():
        if not folder:
            text = "a relative name is a credential, which LoadCredential= in the systemd unit must pass to the service"
            document.report(loc, f"{text}; in a shell, set CREDENTIALS_DIRECTORY to its folder")
            return PLACEHOLDER
        file = Path(folder) / file
        remedy = "; a new credential needs LoadCredential= in the systemd unit and a restart, a reload brings none"
    try:
        return read_password(file)
    except SettingsError as error:
        document.report(loc, f"{error}{remedy}")
        return PLACEHOLDER


def read_password(file: Path) -> str:
    """The password in a file that holds nothing else; raises SettingsError, whose text repeats nothing of the file."""
    try:
        if file.exists() and not file.is_file():  # reading a pipe would wait for ever
            raise SettingsError(f"{file} is no file; name the file that holds the password")
        with file.open("rb") as stream:
            password = stream.read(_MAX_PASSWORD_BYTES + 1).decode().rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file} cannot be read: not UTF-8 text") from None
    if not password or _BREAK.search(password) or len(password) > _MAX_PASSWORD_BYTES:
        raise SettingsError(f"{file} must hold the password alone, on one line")
    return password
