"""Rules of the settings file: what it may hold, and what it means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anonymizer.settings.schema import (
    MaskSettings,
    PrivacySettings,
    RedactSettings,
    TargetName,
    Transport,
)
from anonymizer.types import Effect, Shape
from tests.pictures import LOGO
from tests.settings_files import CAMERA, LOGIN, UNSET, load, problems


def test_one_camera_is_enough(tmp_path: Path) -> None:
    settings = load(tmp_path, CAMERA)
    assert settings.cameras[0].url == "rtsp://10.0.0.2/s"
    assert settings.cameras[0].transport is Transport.TCP


@pytest.mark.parametrize("text", ["0123", "1e3", "off", "true", "12:30", "2026-01-01", "a#b", "'null'", '"~"'])
def test_passwords_stay_as_written(tmp_path: Path, text: str) -> None:
    password = load(tmp_path, LOGIN + f"    password: {text}\n").cameras[0].password
    assert password is not None
    assert password.get_secret_value() == text.strip("'\"")


def test_off_means_the_word_where_a_word_is_wanted_and_false_where_a_switch_is(tmp_path: Path) -> None:
    settings = load(tmp_path, CAMERA + "    loop: off\nencode:\n  hardware: off\n")
    assert settings.encode.hardware == "off"
    assert settings.cameras[0].loop is False


def test_empty_values_mean_the_default(tmp_path: Path) -> None:
    assert load(tmp_path, CAMERA + "    push_url:\nrtsp:\nweb:\n  port: ~\n") == load(tmp_path, CAMERA)


def test_variables_are_filled_in_from_the_environment(tmp_path: Path) -> None:
    text = LOGIN + "    password: a${PW}${NO:-:x}$${PW}$\nrtsp:\n  port: ${PORT}\n"
    settings = load(tmp_path, text, PW="p${PORT}", PORT="9000")
    assert settings.rtsp.port == 9000
    password = settings.cameras[0].password
    assert password is not None
    assert password.get_secret_value() == "ap${PORT}:x${PW}$"


def test_several_problems_of_variables_are_all_named(tmp_path: Path) -> None:
    assert problems(tmp_path, CAMERA + "    username: ${A}\n    password: ${B}\n") == [
        f"a.yaml:4: cameras[0].username: the environment variable A {UNSET}",
        f"a.yaml:5: cameras[0].password: the environment variable B {UNSET}",
    ]


def test_relative_password_files_are_systemd_credentials(tmp_path: Path) -> None:
    (tmp_path / "yard").write_text("s3cret\n")
    settings = load(tmp_path, LOGIN + "    password_file: yard\n", CREDENTIALS_DIRECTORY=str(tmp_path))
    password = settings.cameras[0].password
    assert password is not None
    assert password.get_secret_value() == "s3cret"


def test_a_credential_that_the_service_was_not_started_with_is_said_to_need_a_restart(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, LOGIN + "    password_file: yard\n", CREDENTIALS_DIRECTORY=str(tmp_path))
    assert "yard cannot be read: No such file or directory; a new credential needs LoadCredential=" in line
    assert "a restart, a reload brings none" in line


@pytest.mark.parametrize("value", ["a\n", "a\tb", "a\xadb", "\u00e4"])
def test_a_variable_is_taken_as_it_is_if_it_is_text(tmp_path: Path, value: str) -> None:
    password = load(tmp_path, LOGIN + "    password: ${PW}\n", PW=value).cameras[0].password
    assert password is not None
    assert password.get_secret_value() == value


def test_a_variable_that_is_not_utf_8_is_refused_and_not_repeated(tmp_path: Path) -> None:
    value = os.fsdecode(b"h\xfcnter2")  # as os.environ holds it
    (line,) = problems(tmp_path, LOGIN + "    password: ${PW}\n", PW=value)
    assert line == "a.yaml:5: cameras[0].password: the environment variable PW is not UTF-8 text; set it anew"


@pytest.mark.parametrize("key", ["password_file", "image"])
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path, key: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    place = LOGIN + "    password_file" if key == "password_file" else CAMERA + "redact:\n  image"
    (line,) = problems(tmp_path, f"{place}: {tmp_path}/pipe\n")
    assert f"{key}: pipe" in line
    assert "is no file" in line


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"a\rb", b"a\0b", b"x" * 5000])
def test_a_password_file_holds_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pw").write_bytes(content)
    (line,) = problems(tmp_path, LOGIN + f"    password_file: {tmp_path}/pw\n")
    assert line == "a.yaml:5: cameras[0].password_file: pw must hold the password alone, on one line"


def test_a_password_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pw").write_bytes(b"\xff\xfe")
    (line,) = problems(tmp_path, LOGIN + f"    password_file: {tmp_path}/pw\n")
    assert line == "a.yaml:5: cameras[0].password_file: pw cannot be read: not UTF-8 text"


def test_other_machines_may_connect_with_a_password(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("s3cret")
    text = CAMERA + f"rtsp:\n  listen: 0.0.0.0\n  username: viewer\n  password_file: {tmp_path}/pw\n"
    assert not load(tmp_path, text).rtsp.loopback


def test_a_disabled_listener_needs_neither_password_nor_port(tmp_path: Path) -> None:
    settings = load(tmp_path, CAMERA + "web:\n  enabled: false\n  listen: 0.0.0.0\n  port: 8554\n")
    assert not settings.web.enabled


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_password(tmp_path: Path, address: str) -> None:
    assert load(tmp_path, CAMERA + f"rtsp:\n  listen: '{address}'\n").rtsp.loopback


def test_a_partly_given_mask_keeps_the_defaults_of_its_kind(tmp_path: Path) -> None:
    settings = load(tmp_path, CAMERA + "redact:\n  face:\n    effect: fill\n")
    assert settings.redact.face == MaskSettings(effect=Effect.FILL, shape=Shape.ELLIPSE, margin=0.3)


def test_a_camera_section_changes_only_the_keys_it_names(tmp_path: Path) -> None:
    text = CAMERA + "    privacy:\n      hold_ms: 5\n    redact:\n      face:\n        margin: 1\n"
    text += "  - id: gate\n    url: demo://\nprivacy:\n  targets: [face]\nredact:\n  face:\n    effect: fill\n"
    settings = load(tmp_path, text)
    yard, gate = settings.cameras
    assert yard.privacy == PrivacySettings(targets=(TargetName.FACE,), hold_ms=5)
    assert yard.redact is not None
    assert yard.redact.face == MaskSettings(effect=Effect.FILL, shape=Shape.ELLIPSE, margin=1.0)
    assert (gate.privacy, gate.redact) == (settings.privacy, settings.redact)


def test_the_image_of_a_mask_is_read_from_its_file(tmp_path: Path) -> None:
    logo = tmp_path / "logo.png"
    logo.write_bytes(LOGO)
    site = f"redact:\n  image: {logo}\n  face:\n    effect: image\n"
    own = f"    redact:\n      image: {logo}\n"
    yard, gate = load(tmp_path, CAMERA + own + "  - id: gate\n    url: demo://\n" + site).cameras
    assert yard.redact is not None
    assert yard.redact == gate.redact
    assert (yard.redact.image, yard.redact.face.effect) == (LOGO, Effect.IMAGE)
    assert "PNG" not in repr(yard)


@pytest.mark.parametrize(
    ("content", "name", "text"),
    [
        (None, "{folder}/logo.png", "logo.png cannot be read: No such file"),
        (b"<svg/>", "{folder}/logo.png", "logo.png is no picture that can be read; save it as PNG"),
        (b"x" * (4 * 1024 * 1024 + 1), "{folder}/logo.png", "logo.png is larger than 4 MiB"),
        (LOGO, "logo.png", "must be the whole path of a picture file"),
        (LOGO, "[a, b]", "must be the whole path of a picture file"),
    ],
)
def test_an_image_that_is_none_is_refused(tmp_path: Path, content: bytes | None, name: str, text: str) -> None:
    if content is not None:
        (tmp_path / "logo.png").write_bytes(content)
    settings = CAMERA + "redact:\n  image: " + name.format(folder=tmp_path) + "\n"
    assert any(text in line for line in problems(tmp_path, settings))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ("redact:\n  face:\n    effect: image\n", "redact.face.effect"),
        ("    redact:\n      person:\n        effect: image\n", "cameras[0].redact.person.effect"),
        ("redact:\n  zone_effect: image\n", "redact.zone_effect"),
    ],
)
def test_the_effect_image_needs_an_image(tmp_path: Path, settings: str, key: str) -> None:
    assert any(f"{key}: image needs a picture file" in line for line in problems(tmp_path, CAMERA + settings))


@pytest.mark.parametrize("colour", ["black", "'#12345'", "'#12345g'", "'#1234567'", "around"])
def test_a_fill_colour_is_six_digits_or_the_surround(tmp_path: Path, colour: str) -> None:
    (line,) = problems(tmp_path, CAMERA + f"redact:\n  fill_colour: {colour}\n")
    assert line.endswith("redact.fill_colour: must be a colour in quotes, such as '#00ff7f', or surround")


@pytest.mark.parametrize("colour", ["'#12aBcd'", "surround"])
def test_a_fill_colour_is_taken_as_it_is(tmp_path: Path, colour: str) -> None:
    assert load(tmp_path, CAMERA + f"redact:\n  fill_colour: {colour}\n").redact.fill_colour == colour.strip("'")


def test_an_unknown_effect_is_answered_with_the_nearest(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, CAMERA + "redact:\n  face:\n    effect: mozaic\n")
    assert "redact.face.effect: must be one of" in line
    assert line.endswith("did you mean 'mosaic'?")


def test_zones_are_polygons_in_fractions_and_a_camera_may_have_its_own(tmp_path: Path) -> None:
    text = CAMERA + "    privacy:\n      zones: [[[0, 0], [0.5, 0], [0.25, 1]]]\nprivacy:\n  zones: []\n"
    (camera,) = load(tmp_path, text).cameras
    assert camera.privacy is not None
    assert camera.privacy.zones == (((0.0, 0.0), (0.5, 0.0), (0.25, 1.0)),)


@pytest.mark.parametrize(("mode", "lookahead_ms"), [("balanced", 700), ("strict", 700), ("live", 0)])
def test_only_the_mode_live_does_without_look_ahead(tmp_path: Path, mode: str, lookahead_ms: int) -> None:
    settings = load(tmp_path, CAMERA + f"privacy:\n  mode: {mode}\n  lookahead_ms: 700\n")
    assert settings.privacy.effective_lookahead_ms == lookahead_ms


def test_anchors_repeat_a_value(tmp_path: Path) -> None:
    text = CAMERA + "    redact: &soft\n      soft_edge_px: 3\n  - id: gate\n    url: demo://\n    redact: *soft\n"
    yard, gate = load(tmp_path, text).cameras
    assert yard.redact == gate.redact == RedactSettings(soft_edge_px=3)
