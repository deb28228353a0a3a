"""Rules of who may look."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.web.access import Access

GUARDED = Access("0.0.0.0", "viewer", "päss:word")  # noqa: S104
OPEN = Access("127.0.0.1")


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_the_right_name_and_password_open_the_door() -> None:
    assert GUARDED.knows(basic("viewer:päss:word"))
    assert GUARDED.knows(basic("viewer:päss:word").replace("Basic", "bASIC"))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Basic dmll=d2Vy",
        "Bearer abc",
        basic(""),
        basic("viewer"),
        basic("viewer:"),
        basic("viewer:päss:wor"),
        basic("viewer:päss:wordd"),
        basic("Viewer:päss:word"),
        basic(":päss:word"),
        "viewer:päss:word",
    ],
)
def test_anything_else_does_not(header: str | None) -> None:
    assert not GUARDED.knows(header)


@given(st.text())
def test_no_header_confuses_the_check(header: str) -> None:
    assert not GUARDED.knows(header)
    assert not GUARDED.knows(f"Basic {header}")


def test_without_a_password_everybody_is_known() -> None:
    assert not OPEN.guarded
    assert OPEN.knows(None)


def test_the_password_is_not_in_the_repr() -> None:
    assert "word" not in repr(GUARDED).replace("password", "")


@pytest.mark.parametrize(
    "host",
    [
        None,
        "localhost",
        "LocalHost:8080",
        "localhost.",
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.8.9.1",
        "[::1]",
        "[::1]:80",
    ],
)
def test_without_a_password_our_own_names_are_welcome(host: str | None) -> None:
    assert OPEN.is_own_host(host)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.5", "[::2]:80", "[", "::1"],
)
def test_without_a_password_a_foreign_name_is_a_rebound_page(host: str) -> None:
    assert not OPEN.is_own_host(host)


def test_with_a_password_any_name_is_fine() -> None:
    assert GUARDED.is_own_host("cameras.example.org")
