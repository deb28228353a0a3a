"""Logins come from where the settings say, and reach nothing that people read."""

from __future__ import annotations

import logging
import traceback

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from anonymizer.capture.connection import Input
from anonymizer.capture.credentials import Credentials, authorised_url
from anonymizer.capture.faults import explain
from anonymizer.capture.opening import locate, open_source
from anonymizer.clock import SystemClock
from anonymizer.errors import LoginRefusedError, SourceEnded, SourceError
from anonymizer.settings.address import public_address
from anonymizer.settings.schema import CameraSettings
from tests.fakes import RecordingMeter

SECRET = "s3cret"


def camera(**keys: object) -> CameraSettings:
    return CameraSettings.model_validate({"id": "door", "url": "rtsp://10.0.0.9/live", **keys})


def address(**keys: object) -> str:
    return locate(camera(**keys), None).address.get_secret_value()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "rtsp://10.0.0.9/live"),
        ({"url": "rtsp://u:p@10.0.0.9:554/live?ch=1"}, "rtsp://u:p@10.0.0.9:554/live?ch=1"),
        ({"username": "u", "password": "p"}, "rtsp://u:p@10.0.0.9/live"),
        ({"url": "rtsp://old:old@10.0.0.9/live", "username": "u", "password": "p"}, "rtsp://u:p@10.0.0.9/live"),
        ({"url": "rtsp://u:old@10.0.0.9/live", "password": "p"}, "rtsp://u:p@10.0.0.9/live"),
        ({"username": "a b", "password": "p@:/?#%"}, "rtsp://a%20b:p%40%3A%2F%3F%23%25@10.0.0.9/live"),
        ({"url": "rtsp://u:p@ss@10.0.0.9/live"}, "rtsp://u:p%40ss@10.0.0.9/live"),  # a bare @ is tolerated
        ({"url": "rtsp://u%40x:p%2F@10.0.0.9/live"}, "rtsp://u%40x:p%2F@10.0.0.9/live"),  # not encoded twice
        ({"username": "u"}, "rtsp://u:@10.0.0.9/live"),
        ({"url": "http://10.0.0.9/mjpg", "username": "u", "password": "p"}, "http://u:p@10.0.0.9/mjpg"),
    ],
)
def test_the_login_ends_up_in_the_address_percent_encoded(keys: dict[str, object], expected: str) -> None:
    assert address(**keys) == expected


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://10.0.0.9:554", "rtsp://10.0.0.9:554"),
        ("rtsp://10.0.0.9:554/", "rtsp://10.0.0.9:554/"),
        ("rtsp://10.0.0.9:554/live/s3cret", "rtsp://10.0.0.9:554/***"),
        ("rtsp://u:s3cret@10.0.0.9/live", "rtsp://10.0.0.9/***"),
        ("http://10.0.0.9/video.cgi?user=u&pwd=s3cret", "http://10.0.0.9/***"),
        ("http://10.0.0.9?s3cret", "http://10.0.0.9/***"),
        ("http://[fd00::9]:81#s3cret", "http://[fd00::9]:81/***"),
        ("rtsp://u:a@s3cret@10.0.0.9/live", "rtsp://10.0.0.9/***"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_of_an_address_people_are_told_the_place_alone_for_what_follows_may_be_a_key(url: str, shown: str) -> None:
    assert public_address(url) == shown


@given(
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=6), st.sampled_from(["", "/x", "?a=b"])
)
def test_no_password_shows_however_it_is_written(noise: str, tail: str) -> None:
    for password in (f"{noise}{SECRET}", f"{SECRET}{noise}", f"{noise}{SECRET}{noise}"):
        assert SECRET not in public_address(f"rtsp://admin:{password}@10.0.0.9{tail}")


def test_no_repr_shows_a_password() -> None:
    login = Credentials("u", SecretStr(SECRET))
    target = Input("here", authorised_url("rtsp://h/", login))
    settings = camera(username="u", password=SECRET)
    source = open_source(settings, epoch=0, first_seq=0, clock=SystemClock(), meter=RecordingMeter())
    assert SECRET not in f"{login!r} {target!r} {source!r} {vars(source)!r}"


def test_libavs_error_with_the_login_is_neither_shown_nor_chained(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = camera(url=f"rtsp://127.0.0.1:1/{SECRET}?key={SECRET}", username="u", password=SECRET)
    source = open_source(settings, epoch=0, first_seq=0, clock=SystemClock(), meter=RecordingMeter())
    with pytest.raises(SourceError, match=r"rtsp://127\.0\.0\.1:1/\*\*\*: nothing listens") as caught:
        source.start()
    source.close()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + caplog.text


@pytest.mark.parametrize(
    ("error", "opened", "says"),
    [
        (av.HTTPUnauthorizedError(1, ""), False, "401"),
        (av.ArgumentError(22, ""), False, "port (1 to 65535)"),
        (av.HTTPForbiddenError(1, ""), False, "403"),
        (av.HTTPNotFoundError(1, ""), False, "path"),
        (av.HTTPOtherClientError(1, ""), False, "453"),
        (av.OSError(93, "Protocol not supported"), False, "461"),
        (av.ExitError(1, ""), False, "no answer within 3 s"),
        (av.ExitError(1, ""), True, "sent nothing for 3 s"),
        (av.InvalidDataError(1, ""), False, "no video that can be read"),
        (av.OSError(5, ""), False, "cannot be resolved"),
        (av.OSError(5, ""), True, "broke off"),
        (av.OSError(113, ""), False, "no way to this host"),
        (av.OSError(19, ""), True, "device is gone"),
        (av.OSError(99, "Cannot assign requested address"), True, "Cannot assign requested address"),
    ],
)
def test_every_error_says_where_and_what_to_do(error: av.FFmpegError, opened: bool, says: str) -> None:
    problem = explain(error, "rtsp://h/", opened=opened, waited_s=1.0, timeout_s=3.0)
    assert str(problem).startswith("rtsp://h/: ")
    assert says in str(problem)


def test_only_what_may_lock_an_account_is_a_refused_login() -> None:
    def kind(error: av.FFmpegError) -> type[SourceError]:
        return type(explain(error, "x", opened=False, waited_s=1.0, timeout_s=3.0))

    assert kind(av.HTTPUnauthorizedError(1, "")) is kind(av.HTTPForbiddenError(1, "")) is LoginRefusedError
    assert kind(av.HTTPNotFoundError(1, "")) is kind(av.ConnectionRefusedError(1, "")) is SourceError


def test_invalid_data_after_the_whole_timeout_is_a_timeout() -> None:
    problem = explain(av.InvalidDataError(1, ""), "x", opened=False, waited_s=3.0, timeout_s=3.0)
    assert "no answer within 3 s" in str(problem)


def test_the_end_of_a_stream_is_not_an_error() -> None:
    assert isinstance(explain(av.EOFError(1, ""), "x", opened=True, waited_s=0.0, timeout_s=1.0), SourceEnded)
