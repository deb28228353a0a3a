"""What is said about weak effects: measured, and only where it is true."""

from __future__ import annotations

import logging
import signal
from pathlib import Path

import pytest

from anonymizer import service
from anonymizer.check import check
from anonymizer.redact.strength import CHANCE, NAMED_BLUR, NAMED_MOSAIC, NAMED_SURROUND, weak_effects, weaknesses
from anonymizer.settings.schema import CameraSettings, MaskSettings, RedactSettings, Settings
from anonymizer.types import Effect

PAGE = Path(__file__).parent.parent / "docs/attack.md"


def rows() -> dict[str, list[list[str]]]:
    """The table of the page: by look, the cells of each of its rows."""
    found: dict[str, list[list[str]]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and cells[1].isdecimal():
            found.setdefault(cells[0], []).append(cells)
    return found


def best(look: str) -> int:
    """Percent of faces named by the best attack at any size."""
    return max(int(cell.partition(",")[0]) for row in rows()[look] for cell in row[2:6])


def test_the_figures_are_those_of_the_page() -> None:
    assert {cells: best(f"mosaic of {cells} cells") for cells in NAMED_MOSAIC} == NAMED_MOSAIC
    assert (best("blur"), best("fill with the surround")) == (NAMED_BLUR, NAMED_SURROUND)
    assert f"whoever guesses has {CHANCE}." in PAGE.read_text(encoding="utf-8")


def test_the_default_effect_was_no_better_named_than_by_guessing() -> None:
    """The bar for the default: attacks (a) to (c) cannot be told from chance at 95 %, at any size."""
    default = RedactSettings()
    assert {default.face.effect, default.head.effect, default.person.effect} == {Effect.FILL}
    assert [row[6] for row in rows()["fill"]] == ["no better"] * len(rows()["fill"])
    assert list(weaknesses(default)) == []


@pytest.mark.parametrize("effect", [Effect.FILL, Effect.NOISE, Effect.IMAGE])
def test_effects_that_show_nothing_are_not_called_weak(effect: Effect) -> None:
    mask = MaskSettings(effect=effect)
    assert list(weaknesses(RedactSettings(face=mask, person=mask))) == []


@pytest.mark.parametrize(
    ("kind", "effect", "cells", "named"),
    [
        ("face", Effect.MOSAIC, 6, NAMED_MOSAIC[6]),
        ("face", Effect.MOSAIC, 5, NAMED_MOSAIC[6]),  # not measured: as weak as the next finer one
        ("face", Effect.MOSAIC, 2, NAMED_MOSAIC[2]),
        ("face", Effect.MOSAIC, 1, NAMED_MOSAIC[1]),  # its one colour is the face's
        ("face", Effect.BLUR, 1, NAMED_BLUR),
        ("head", Effect.MOSAIC, 3, NAMED_MOSAIC[3]),
        ("person", Effect.MOSAIC, 6, NAMED_MOSAIC[2]),  # the face has a third of the cells
        ("person", Effect.MOSAIC, 5, NAMED_MOSAIC[1]),
        ("person", Effect.BLUR, 6, NAMED_MOSAIC[2]),
    ],
)
def test_an_averaging_effect_is_called_weak_with_the_measured_figure(
    kind: str, effect: Effect, cells: int, named: int
) -> None:
    redact = RedactSettings.model_validate({kind: {"effect": effect}, "mosaic_cells": cells})
    (text,) = weaknesses(redact)
    assert text.startswith(f"redact.{kind}.effect: {effect} ")
    assert f"named {named} % of faces right, by guessing {CHANCE} %" in text


def test_the_surround_as_fill_colour_is_called_weak() -> None:
    (text,) = weaknesses(RedactSettings(fill_colour="surround"))
    assert f"named {NAMED_SURROUND} % of faces right" in text


def test_every_camera_is_looked_at_and_each_weakness_said_once() -> None:
    weak, strong = RedactSettings(face=MaskSettings(effect=Effect.BLUR)), RedactSettings()
    cameras = tuple(
        CameraSettings(id=name, url="demo://", redact=redact)
        for name, redact in (("a", strong), ("b", weak), ("c", weak), ("d", None))
    )
    assert weak_effects(Settings(cameras=cameras)) == tuple(weaknesses(weak))
    assert weak_effects(Settings(redact=weak)) == tuple(weaknesses(weak))


class _IdleDaemon:
    """Stands for the daemon; does nothing."""

    def __init__(self, _settings: Settings, **_parts: object) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def test_the_daemon_says_at_start_which_effects_are_weak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("cameras:\n  - id: door\n    url: demo://\nredact:\n  face:\n    effect: blur\n")
    monkeypatch.setattr(service, "Daemon", _IdleDaemon)
    monkeypatch.setattr(service, "configure", lambda _log: None)
    monkeypatch.setattr(service, "_signals", lambda *_: iter([signal.SIGTERM]))
    assert service.run(path) == 0
    (warning,) = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert warning.startswith("redact.face.effect: blur averages what it hides")


def test_check_names_weak_effects_and_does_not_fail_for_them() -> None:
    weak = Settings(redact=RedactSettings(face=MaskSettings(effect=Effect.BLUR)))
    found = [finding for finding in check(weak, connect=False) if finding.subject == "effects"]
    assert [(finding.ok, finding.text[:30]) for finding in found] == [(True, "weak: redact.face.effect: blur")]
