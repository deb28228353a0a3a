"""A value of the command line that makes no sense is answered with what to write instead."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from anonymizer import cli
from anonymizer.arguments import colour, day, picture_size, share, whole


@pytest.mark.parametrize(
    ("read", "text", "answer"),
    [
        (share, "half", "half is no number between 0 and 1"),
        (share, "nan", "nan is no number between 0 and 1"),
        (share, "1", "1 is no number between 0 and 1"),
        (whole(1), "0", "0 is no whole number of 1 or more"),
        (whole(1), "1.5", r"1\.5 is no whole number of 1 or more"),
        (whole(16, 512), "513", "513 is no whole number from 16 to 512"),
        (colour, "255,0", "255,0 is no colour; write three levels of 0 to 255, such as 255,0,255"),
        (colour, "255,0,256", "is no colour"),
        (colour, "red,0,0,0", "is no colour"),
        (colour, "1,-2,3", "is no colour"),
        (day, "soon", "soon is no day; write 2027-06-30"),
        (picture_size, "1920x1081", "1920x1081 is no size of pictures; write 1920x1080, both numbers even"),
        (picture_size, "1080p", "is no size of pictures"),
    ],
)
def test_what_makes_no_sense_is_answered_with_what_to_write(
    read: Callable[[str], object], text: str, answer: str
) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=answer):
        read(text)


def test_what_makes_sense_is_read() -> None:
    assert (share("0.5"), whole(0, 9)("9"), colour("255, 0,255")) == (0.5, 9, (255, 0, 255))


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["detect", "x", "--limit", "all"], "argument --limit: all is no whole number of 1 or more"),
        (["detect", "x", "--model", "m@far"], "argument --model: far is no whole number of 1 or more"),
        (["video", "x", "--fill", "red"], "argument --fill: red is no colour; write three levels"),
        (["attack", "x", "--height", "tall"], "argument --height: tall is no whole number from 16 to 512"),
    ],
)
def test_commands_say_what_to_write(arguments: list[str], answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["evaluate", *arguments])
    assert answer in capsys.readouterr().err
