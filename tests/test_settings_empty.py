"""Keys without a value: known ones mean the default, all others are mistakes, and a secret among them is not told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.settings_files import CAMERA, load, problems

WITHOUT_VALUE = [
    (
        CAMERA + "privacy: {mode:strict}\n",
        "a.yaml:4: privacy.mode: no value was found; write 'mode', a ':', a blank and the value",
    ),
    (
        CAMERA + "privacy: {\n  lookahead_ms: 400,\n  mode strict}\n",
        "a.yaml:6: privacy.mode: no value was found; write 'mode', a ':', a blank and the value",
    ),
    (
        CAMERA + "redact: {face: {margin: 0,2}}\n",
        "a.yaml:4: redact.face.2: unknown key; a number has a decimal point, not a comma",
    ),
    (CAMERA + "web: {pasword:}\n", "a.yaml:4: web.pasword: unknown key; did you mean 'password'?"),
    (CAMERA + "privacy: {targetz:}\n", "a.yaml:4: privacy.targetz: unknown key; did you mean 'targets'?"),
    (CAMERA + "privacy:\n  targetz:\n", "a.yaml:5: privacy.targetz: unknown key; did you mean 'targets'?"),
    (CAMERA + "    crf:\n", "a.yaml:4: cameras[0].crf: unknown key here; it belongs to encode"),
    (CAMERA + "log:\n  xyzzy: ~\n", "a.yaml:5: log.xyzzy: unknown key; the keys here are level, format"),
    (CAMERA + "privacy:\n  password_file:\n", "a.yaml:5: privacy.password_file: unknown key here; it belongs to"),
    (CAMERA + "privcy: {x:}\n", "a.yaml:4: privcy: unknown key; did you mean 'privacy'?"),
    (
        CAMERA + "detect: {delegate: external, delegate_library: a.so, delegate_options: {device:0}}\n",
        "a.yaml:4: detect.delegate_options.device:0: has no value; write 'key: value', with a blank after the ':'",
    ),
]


@pytest.mark.parametrize(("text", "message"), WITHOUT_VALUE)
def test_an_unknown_key_without_a_value_is_named_with_the_way_out(tmp_path: Path, text: str, message: str) -> None:
    (line,) = problems(tmp_path, text)
    assert line.startswith(message)


def test_known_keys_without_a_value_mean_the_default_in_every_form(tmp_path: Path) -> None:
    text = "privacy: {mode:, zones: ~}\nredact:\n  face: {margin: }\nweb:\n  password_file:\n"
    assert load(tmp_path, CAMERA + text) == load(tmp_path, CAMERA)


@pytest.mark.parametrize(
    "section",
    [
        "web: {username: viewer, password: hun,ter2}",
        "web: {username: viewer, password:hunter2}",
        "web: {username: viewer, password=hunter2}",
        "web: {username: viewer, password hunter2}",
        "audit: {webhook_url: https://10.0.0.3/hook,hunter2}",
        "cameras: [{id: yard, url:rtsp://viewer:hunter2@10.0.0.2/s}]",
        "cameras: [{id: yard, url: 'demo://', username: viewer, password: hun,ter2}]",
    ],
)
def test_what_braces_make_a_key_of_may_be_a_password_and_is_not_repeated(tmp_path: Path, section: str) -> None:
    text = section if section.startswith("cameras") else CAMERA + section
    told = "\n".join(problems(tmp_path, text + "\n"))
    assert "ter2" not in told
    assert "a word without a value" in told or "no value was found" in told
