"""Log lines for people, for machines and for journald, on the standard `logging`: no passwords, no floods."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from anonymizer.clock import Clock, SystemClock
from anonymizer.observe.ratelimit import RateLimiter
from anonymizer.settings.address import MASK
from anonymizer.settings.schema import LogFormat, LogSettings

REPEAT_S = 30.0  # between two warnings that differ in nothing but numbers; less than those wait that count themselves

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_SECRET_NAMES = "password|passwd|pass|pwd|secret|token|api_?key|authorization"  # noqa: S105 - names, not values
_SECRET_FIELD = re.compile(rf"(?:\w*_)?(?:{_SECRET_NAMES})", re.IGNORECASE)
# Greedy to the last @ of the word: a password may itself contain @ or /. Hiding too much is the safe side.
_USER_INFO = re.compile(r"://\S*@")
# Behind the host of a stream anything may be a key, and of other addresses anything behind a question mark.
_PATH = re.compile(r"((?:rtsp|rtmp)s?://[^\s/?#\"']*)[/?#][^\s\"']*[^\s\"':;,.)]", re.IGNORECASE)
_QUERY = re.compile(r"(https?://[^\s?#\"']*)[?#][^\s\"']*[^\s\"':;,.)]", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(rf"(?<![a-z0-9])({_SECRET_NAMES})=[^\s&\"']+", re.IGNORECASE)
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {10: "\\n", 13: "\\r", 9: "\\t"}
# sd-daemon(3): <3> error, <4> warning, <6> info, <7> debug; <2> critical
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def mask_secrets(text: str) -> str:
    """The text without logins, paths and queries that may be keys in URLs, and without `password=...` parameters."""
    text = _QUERY.sub(rf"\1?{MASK}", _PATH.sub(rf"\1/{MASK}", _USER_INFO.sub(f"://{MASK}@", text)))
    return _SECRET_PARAMETER.sub(rf"\1={MASK}", text)


def configure(
    settings: LogSettings,
    *,
    stream: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> None:
    """Send all logging to `stream` (standard error) as the settings say; call it again to change them.

    A warning or error that comes again within half a minute is held back, and counted in the field `held_back` of the
    next one.
    """
    stream = sys.stderr if stream is None else stream
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(handler)
    handler = _Handler(stream)
    handler.setFormatter(_formatter(settings.format, stream, os.environ if environ is None else environ))
    handler.addFilter(_Repeats(RateLimiter(REPEAT_S, clock or SystemClock())))
    root.addHandler(handler)
    root.setLevel(settings.level.upper())


class PlainFormatter(logging.Formatter):
    """`time LEVEL module: message key=value`, the traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of one record."""
        return "\n".join((f"{_time(record)} {record.levelname:<7} {_line(record)}", *_trace(record)))


class JournalFormatter(logging.Formatter):
    """Like plain, without the time that journald adds, every line with its `<priority>`."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of one record."""
        priority = next((value for level, value in _PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{priority}>{line}" for line in (_line(record), *_trace(record)))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the fields, and traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of one record."""
        trace = _trace(record)
        document = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask_secrets(record.getMessage()),
            **({"traceback": "\n".join(trace)} if trace else {}),
        }
        return json.dumps({**_fields(record), **document}, ensure_ascii=False)


class _Handler(logging.StreamHandler[TextIO]):
    """Our handler; its class tells it from those that others put on the root logger."""


class _Repeats(logging.Filter):
    """Holds repeated warnings and errors back: what fails in every frame, or for weeks, must not drown the rest."""

    def __init__(self, limiter: RateLimiter) -> None:
        super().__init__()
        self._limiter = limiter

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be shown; numbers and the way to an exception do not make it another one."""
        if record.levelno < logging.WARNING:
            return True
        arguments = record.args if isinstance(record.args, tuple) else (record.args,)
        texts = [str(argument) for argument in arguments if not isinstance(argument, int | float)]
        error = record.exc_info[1] if record.exc_info else None
        held = self._limiter.admit("\n".join((record.name, str(record.msg), *texts, repr(error))))
        if held:
            record.held_back = held + getattr(record, "held_back", 0)
        return held is not None


def _formatter(choice: LogFormat, stream: TextIO, environ: Mapping[str, str]) -> logging.Formatter:
    if choice is LogFormat.JSON:
        return JsonFormatter()
    if choice is LogFormat.AUTO and _is_journal(stream, environ):
        return JournalFormatter()
    return PlainFormatter()


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """True if the stream is the very one that systemd connected to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def _line(record: logging.LogRecord) -> str:
    name = record.name.removeprefix("anonymizer.")
    message = mask_secrets(record.getMessage()).translate(_CONTROL)
    fields = "".join(f" {key}={_quoted(value)}" for key, value in _fields(record).items())
    return f"{name}: {message}{fields}"


def _fields(record: logging.LogRecord) -> dict[str, str | int | float | bool | None]:
    return {key: _value(key, value) for key, value in record.__dict__.items() if key not in _STANDARD}


def _value(key: str, value: object) -> str | int | float | bool | None:
    if _SECRET_FIELD.fullmatch(key):
        return MASK
    if value is None or (isinstance(value, (bool, int, float)) and math.isfinite(value)):
        return value
    return mask_secrets(str(value))


def _quoted(value: object) -> str:
    text = str(value)
    return text if re.fullmatch(r"[\w.:/*@+-]+", text) else json.dumps(text, ensure_ascii=False).translate(_CONTROL)


def _trace(record: logging.LogRecord) -> list[str]:
    parts = [logging.Formatter().formatException(record.exc_info)] if record.exc_info else []
    if record.stack_info:
        parts.append(record.stack_info)
    return mask_secrets("\n".join(parts)).splitlines()


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
