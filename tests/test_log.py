"""Rules of the log: fields, formats, priorities, and above all no secrets."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.clock import FakeClock
from anonymizer.observe.log import (
    JournalFormatter,
    JsonFormatter,
    PlainFormatter,
    configure,
    mask_secrets,
)
from anonymizer.settings.schema import LogFormat, LogLevel, LogSettings


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str = "hello", *args: object, level: int = logging.INFO, **fields: object) -> logging.LogRecord:
    return logging.getLogger("anonymizer.capture").makeRecord(
        "anonymizer.capture", level, "f.py", 1, message, args, None, extra=fields
    )


def test_plain_shows_time_level_module_message_and_fields() -> None:
    it = record("camera %s is away", "door", camera="door", attempt=3, detail="no route")
    it.created = 1_767_225_600.25
    assert PlainFormatter().format(it) == (
        '2026-01-01T00:00:00.250Z INFO    capture: camera door is away camera=door attempt=3 detail="no route"'
    )


def test_json_is_one_valid_object_a_line_whatever_the_fields_hold() -> None:
    text = JsonFormatter().format(
        record("a\nb", camera="door", fps=float("nan"), count=2, where=Path("/x"), logger="mine")
    )
    assert "\n" not in text
    document = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert document.pop("time").endswith("Z")
    assert document == {
        "level": "info",
        "logger": "anonymizer.capture",
        "message": "a\nb",
        "camera": "door",
        "fps": "nan",
        "count": 2,
        "where": "/x",
    }


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2)],
)
def test_journal_lines_carry_the_priority_and_no_time(level: int, priority: int) -> None:
    assert JournalFormatter().format(record(level=level)) == f"<{priority}>capture: hello"


def test_every_line_of_a_traceback_carries_the_priority() -> None:
    it = record(level=logging.ERROR)
    try:
        raise ValueError("boom")
    except ValueError as exc:
        it.exc_info = (type(exc), exc, exc.__traceback__)
    lines = JournalFormatter().format(it).splitlines()
    assert len(lines) > 3
    assert all(line.startswith("<3>") for line in lines)
    assert lines[-1] == "<3>ValueError: boom"
    assert "boom" in json.loads(JsonFormatter().format(it))["traceback"]


def test_a_message_cannot_forge_a_second_line() -> None:
    text = PlainFormatter().format(record("x\n<0>fake\x1b[31m", detail="y\nz\x9b"))
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text
    assert "\x9b" not in text


SECRETS = [
    "rtsp://admin:hunter2@10.0.0.9:554/live",
    "open rtsp://admin:hunter2@cam/1: refused",
    "rtsp://admin:p@hunter2/@cam/1",  # @ and / inside the password
    "rtsp://:hunter2@cam/",
    '{"url": "rtsps://u:hunter2@cam"}',
    "http://cam/video.cgi?user=admin&password=hunter2&x=1",
    "http://cam/video.cgi?pwd=hunter2",
    "TOKEN=hunter2",
    "rtsp://cam:554/live/hunter2",
    "open rtsp://cam/1?key=hunter2: refused",
    "rtmp://live.example/app/hunter2",
    "Error(5, 'http://cam/video?auth=hunter2')",
]


@pytest.mark.parametrize("text", SECRETS)
@pytest.mark.parametrize("formatter", [PlainFormatter(), JsonFormatter(), JournalFormatter()])
def test_no_password_passes_in_message_arguments_fields_or_traceback(text: str, formatter: logging.Formatter) -> None:
    in_message, in_arguments, in_field = record(text), record("failed: %s", text), record("failed", url=text)
    in_trace, in_stack = record("failed"), record("failed")
    try:
        raise OSError(text)
    except OSError as exc:
        in_trace.exc_info = (type(exc), exc, exc.__traceback__)
    in_stack.stack_info = f"Stack:\n  {text}"
    for it in (in_message, in_arguments, in_field, in_trace, in_stack):
        assert "hunter2" not in formatter.format(it)
        assert "***" in formatter.format(it)


@pytest.mark.parametrize("field", ["password", "rtsp_password", "token", "API_KEY", "secret"])
def test_a_field_named_like_a_secret_is_masked(field: str) -> None:
    secret: dict[str, Any] = {field: "hunter2"}
    assert json.loads(JsonFormatter().format(record(**secret)))[field] == "***"
    assert "hunter2" not in PlainFormatter().format(record(**secret))


def test_harmless_text_stays_as_it_is() -> None:
    for text in (
        "",
        "rtsp://cam:554/",
        "open rtsp://cam:554/: refused",
        "http://[::1]:8080/",
        "mail me@example.org",
        "tokens=3 passes=4",
    ):
        assert mask_secrets(text) == text


WORD = st.text(alphabet=st.characters(exclude_categories=["Z", "C"]))


@given(user=WORD, password=WORD.map("secret-".__add__))
def test_no_password_without_blanks_survives_in_a_url(user: str, password: str) -> None:
    assert "secret-" not in mask_secrets(f"open rtsp://{user}:{password}@host/path failed")


def test_journal_format_is_chosen_only_if_the_stream_is_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        stat = os.fstat(stream.fileno())
        environ = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
        configure(LogSettings(), stream=stream, environ=environ)
        logging.getLogger("anonymizer.x").info("one")
        configure(LogSettings(), stream=stream, environ={"JOURNAL_STREAM": "8:1"})  # a child's redirected stream
        logging.getLogger("anonymizer.x").info("two")
        configure(LogSettings(format=LogFormat.PLAIN), stream=stream, environ=environ)
        logging.getLogger("anonymizer.x").info("three")
        stream.seek(0)
        one, two, three = stream.read().splitlines()
    assert one == "<6>x: one"
    assert "INFO    x: two" in two
    assert "INFO    x: three" in three


def test_configure_replaces_its_own_handler_and_keeps_others() -> None:
    first, second, other = io.StringIO(), io.StringIO(), logging.NullHandler()
    logging.getLogger().addHandler(other)
    configure(LogSettings(level=LogLevel.DEBUG), stream=first, environ={})
    configure(LogSettings(level=LogLevel.WARNING, format=LogFormat.JSON), stream=second, environ={})
    logging.getLogger("anonymizer").info("quiet")
    logging.getLogger("anonymizer").warning("loud")
    assert first.getvalue() == ""
    assert json.loads(second.getvalue())["message"] == "loud"
    assert other in logging.getLogger().handlers


def test_a_warning_that_comes_again_and_again_is_shown_once_in_half_a_minute_with_the_count_held_back() -> None:
    stream, clock = io.StringIO(), FakeClock()
    configure(LogSettings(), stream=stream, environ={}, clock=clock)
    log = logging.getLogger("anonymizer.capture")
    for attempt in range(10):  # a camera that is away
        log.warning("camera %s: %s; next attempt in %.1f s", "door", "nothing listens", 4.2 + attempt)
        clock.advance(5)
    lines = stream.getvalue().splitlines()
    assert [line.partition("capture: ")[2] for line in lines] == [
        "camera door: nothing listens; next attempt in 4.2 s",
        "camera door: nothing listens; next attempt in 10.2 s held_back=5",
    ]


def test_an_error_in_every_frame_does_not_fill_the_disk_with_tracebacks() -> None:
    stream, clock = io.StringIO(), FakeClock()
    configure(LogSettings(), stream=stream, environ={}, clock=clock)
    for frame in range(1000):
        try:
            raise ValueError("no such effect")
        except ValueError:
            logging.getLogger("anonymizer.pipeline").exception("camera %s: frame %d not redacted", "door", frame)
        clock.advance(0.04)
    assert stream.getvalue().count("Traceback") == 2


def test_another_camera_another_problem_and_all_that_is_no_warning_are_never_held_back() -> None:
    stream = io.StringIO()
    configure(LogSettings(), stream=stream, environ={}, clock=FakeClock())
    log = logging.getLogger("anonymizer.capture")
    for camera, problem in (("door", "refused"), ("yard", "refused"), ("door", "wrong password")):
        log.warning("camera %s: %s", camera, problem)
    for error in (ValueError("one"), ValueError("two"), KeyError("one")):
        log.error("it failed", exc_info=error)
    for _ in range(2):
        log.info("camera %s: track %d: %s stays visible", "door", 7, "ana")
    assert len([line for line in stream.getvalue().splitlines() if "capture: " in line]) == 3 + 3 + 2


@pytest.mark.parametrize("message", ["with a % in it", "100 %"])
def test_a_warning_without_arguments_is_shown_as_it_is(message: str) -> None:
    stream = io.StringIO()
    configure(LogSettings(), stream=stream, environ={}, clock=FakeClock())
    logging.getLogger("anonymizer.capture").warning(message)
    assert message in stream.getvalue()


def test_a_warning_that_is_rate_limited_where_it_is_made_is_never_held_back_again() -> None:
    """The audit reports a camera once a minute; these two clocks never agree to the microsecond."""
    stream, clock = io.StringIO(), FakeClock()
    configure(LogSettings(), stream=stream, environ={}, clock=clock)
    for early_s in (0.0, 0.001, 0.0):
        logging.getLogger("anonymizer.audit").warning("camera %s: the audit found %d face(s)", "door", 1)
        clock.advance(60 - early_s)
    assert len(stream.getvalue().splitlines()) == 3
