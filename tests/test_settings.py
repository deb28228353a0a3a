"""Rules of the settings file: what ships, and what an installer reads when one is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.errors import SettingsError
from anonymizer.settings.document import parse
from anonymizer.settings.load import load_settings
from anonymizer.settings.schema import (
    CameraSettings,
    PrivacySettings,
    RedactSettings,
    Settings,
)
from anonymizer.settings.section import Section
from tests.settings_files import CAMERA, CONFIG, LOGIN, UNSET, load, problems

NO_ADDRESS = "is no address; write scheme://host:port/path, with every / ? # @ : [ ] in a password percent-encoded"

# --- the shipped files ------------------------------------------------------------------------------------------


def test_shipped_yaml_equals_the_defaults_but_for_its_example_camera() -> None:
    settings = load_settings(CONFIG / "anonymizer.yaml", environ={})
    assert settings.model_copy(update={"cameras": ()}) == Settings()
    (camera,) = settings.cameras
    for name, field in type(camera).model_fields.items():
        if not field.is_required() and name not in ("privacy", "redact"):
            assert getattr(camera, name) == field.default, name
    assert (camera.privacy, camera.redact) == (PrivacySettings(), RedactSettings())


def keys_of(section: type[Section], *path: str) -> Iterator[tuple[str, ...]]:
    for name, field in section.model_fields.items():
        yield (*path, name)
        if isinstance(field.default, Section):
            yield from keys_of(type(field.default), *path, name)


def test_shipped_yaml_holds_every_key_with_a_comment() -> None:
    text = (CONFIG / "anonymizer.yaml").read_text()
    lines = parse(text.encode(), {}).lines
    rows = text.splitlines()
    for path in keys_of(Settings):
        assert path in lines, f"{path} is not in the file"
        line = lines[path] - 1
        assert "#" in rows[line] + rows[line - 1] or path[-1] in ("cameras", "face", "person"), f"{path} has no comment"
    for name in type(load_settings(CONFIG / "anonymizer.yaml", environ={}).cameras[0]).model_fields:
        assert ("cameras", 0, name) in lines


def numbers_of(section: Section, *path: str | int) -> Iterator[tuple[tuple[str | int, ...], set[float]]]:
    """Place, limits and default of every number; the section holds its defaults."""
    for name, field in type(section).model_fields.items():
        default = getattr(section, name)
        limits = {float(getattr(m, k)) for m in field.metadata for k in ("gt", "ge", "lt", "le") if hasattr(m, k)}
        if limits and isinstance(default, int | float):
            yield (*path, name), limits | {float(default)}
        if isinstance(default, Section):
            yield from numbers_of(default, *path, name)


def test_shipped_yaml_states_range_and_default_of_every_number() -> None:
    text = (CONFIG / "anonymizer.yaml").read_text()
    lines, rows = parse(text.encode(), {}).lines, text.splitlines()
    camera = CameraSettings(id="x", url="demo://")
    for path, expected in [*numbers_of(Settings()), *numbers_of(camera, "cameras", 0)]:
        start = lines[path]
        comment = rows[start - 1].partition("#")[2]
        if start < len(rows) and rows[start].strip().startswith("#"):
            comment += rows[start]
        stated = {float(number) for number in re.findall(r"\d+(?:\.\d+)?", comment)}
        assert stated >= expected, f"{path}: {expected} are not all in {comment!r}"


def test_demo_yaml_shows_one_virtual_camera_to_this_machine_only() -> None:
    settings = load_settings(CONFIG / "demo.yaml", environ={})
    assert [(camera.id, camera.url) for camera in settings.cameras] == [("demo", "demo://")]
    assert settings.rtsp.loopback
    assert settings.web.loopback
    assert (settings.rtsp.port, settings.web.port) == (8554, 8080)


# --- wrong files: the exact message -----------------------------------------------------------------------------

TOO_DEEP = "too many or too deeply nested values; look for a wrong *alias, or brackets that are not closed"
NO_TEXT = "holds a character that no text has, such as \\0 or \\ud800; leave it out"
WRONG = [
    ("", "a.yaml:1: cameras: no camera is named; give at least one, with id and url"),
    ("# nothing\n", "a.yaml:1: cameras: no camera is named; give at least one, with id and url"),
    ("cameras:\n", "a.yaml:1: cameras: no camera is named; give at least one, with id and url"),
    ("log:\n  level: info\n", "a.yaml:1: cameras: no camera is named; give at least one, with id and url"),
    ("- id: yard\n", "a.yaml:1: must be keys with values, such as 'cameras:'"),
    ("camera: {}\n" + CAMERA, "a.yaml:1: camera: unknown key; did you mean 'cameras'?"),
    (CAMERA + "    urll: x\n", "a.yaml:4: cameras[0].urll: unknown key; did you mean 'url'?"),
    (CAMERA + "    crf: 20\n", "a.yaml:4: cameras[0].crf: unknown key here; it belongs to encode"),
    (CAMERA + "listen: 127.0.0.1\n", "a.yaml:4: listen: unknown key here; it belongs to rtsp or web"),
    (
        CAMERA + "log:\n  xyzzy: 1\n",
        "a.yaml:5: log.xyzzy: unknown key; the keys here are level, format",
    ),
    ("cameras:\n  - id: yard\n", "a.yaml:2: cameras[0].url: is missing; this key is required"),
    ("cameras:\n  - id:\n    url: demo://\n", "a.yaml:2: cameras[0].id: is missing; this key is required"),
    ("cameras:\n  -\n", "a.yaml:2: cameras[0]: an empty entry; remove its '-' or fill it in"),
    ("cameras:\n  id: yard\n  url: demo://\n", "a.yaml:1: cameras: must be a list; put '- ' before each entry"),
    ("cameras:\n  - yard\n", "a.yaml:2: cameras[0]: must be a section with keys of its own; check the indentation"),
    (
        "cameras:\n  - id: Front Door\n    url: demo://\n",
        "a.yaml:2: cameras[0].id: use only a-z, 0-9, - and _, beginning with a letter or digit, at most 63 characters",
    ),
    (
        "cameras:\n  - id: ../etc\n    url: demo://\n",
        "a.yaml:2: cameras[0].id: use only a-z, 0-9, - and _, beginning with a letter or digit, at most 63 characters",
    ),
    (
        CAMERA + "  - id: yard\n    url: demo://\n",
        "a.yaml:4: cameras[1].id: two cameras have the id 'yard'; give each its own",
    ),
    (
        "cameras:\n  - id: yard\n    url: rtps://10.0.0.2/s\n",
        "a.yaml:3: cameras[0].url: must begin with one of"
        " rtsp://, rtsps://, http://, https://, file://, /dev/video, demo://",
    ),
    (CAMERA + "    transport: tpc\n", "a.yaml:4: cameras[0].transport: must be one of tcp, udp; did you mean 'tcp'?"),
    (CAMERA + "    transport: carrier\n", "a.yaml:4: cameras[0].transport: must be one of tcp, udp"),
    (CAMERA + "    open_timeout_s: 0\n", "a.yaml:4: cameras[0].open_timeout_s: must be more than 0"),
    (CAMERA + "    open_timeout_s: .nan\n", "a.yaml:4: cameras[0].open_timeout_s: must be a number"),
    (CAMERA + "    open_timeout_s: nan\n", "a.yaml:4: cameras[0].open_timeout_s: must be a number"),
    (CAMERA + "    open_timeout_s: 8 s\n", "a.yaml:4: cameras[0].open_timeout_s: must be a number"),
    (CAMERA + "    loop: maybe\n", "a.yaml:4: cameras[0].loop: must be true or false"),
    (CAMERA + "    username: [a]\n", "a.yaml:4: cameras[0].username: must be one value, not a list or section"),
    (CAMERA + "    push_url: rtsp://[::1/x\n", f"a.yaml:4: cameras[0].push_url: {NO_ADDRESS}"),
    (CAMERA + "    push_url: rtsp:///x\n", f"a.yaml:4: cameras[0].push_url: {NO_ADDRESS}"),
    (CAMERA + "    push_url: rtsp://me:pa#ss@10.0.0.3/x\n", f"a.yaml:4: cameras[0].push_url: {NO_ADDRESS}"),
    (CAMERA + "audit:\n  webhook_url: http://host:99999/x\n", f"a.yaml:5: audit.webhook_url: {NO_ADDRESS}"),
    ("cameras: [{id: a, url: rtsp:///x}]\n", f"a.yaml:1: cameras[0].url: {NO_ADDRESS}"),
    ("cameras: [{id: a, url: 'rtsp://10.0.0.2:99999/x'}]\n", f"a.yaml:1: cameras[0].url: {NO_ADDRESS}"),
    ("cameras: [{id: a, url: 'HTTP://[::1/x'}]\n", f"a.yaml:1: cameras[0].url: {NO_ADDRESS}"),
    ("cameras: [{id: a, url: rtsp://me:pa/ss@10.0.0.2/x}]\n", f"a.yaml:1: cameras[0].url: {NO_ADDRESS}"),
    (CAMERA + "    push_url: http://x/y\n", "a.yaml:4: cameras[0].push_url: must begin with one of rtsp://, rtsps://"),
    (CAMERA + "rtsp:\n  port: 99999\n", "a.yaml:5: rtsp.port: must be 65535 or less"),
    (CAMERA + "rtsp:\n  port: -1\n", "a.yaml:5: rtsp.port: must be 1 or more"),
    (CAMERA + "rtsp:\n  port: 85.5\n", "a.yaml:5: rtsp.port: must be a whole number"),
    (
        CAMERA + "detect:\n  delegate: external\n  delegate_options: fast\n  delegate_library: a.so\n",
        "a.yaml:6: detect.delegate_options: must be keys with values, each indented on a line of its own",
    ),
    (
        CAMERA + "detect:\n  delegate: external\n",
        "a.yaml:4: detect.delegate_library: external needs the file of the plug-in",
    ),
    (
        CAMERA + "detect:\n  delegate_library: a.so\n",
        "a.yaml:4: detect.delegate: xnnpack takes no library and no options; set edgetpu, gpu or external",
    ),
    (CAMERA + "rtsp: 8554\n", "a.yaml:4: rtsp: must be a section with keys of its own; check the indentation"),
    (
        CAMERA + "rtsp:\n  listen: localhst\n",
        "a.yaml:5: rtsp.listen: must be an IP address of this machine; 127.0.0.1: only itself, 0.0.0.0: all",
    ),
    (
        CAMERA + "web:\n  listen: 0.0.0.0\n",
        "a.yaml:5: web.listen: other machines could connect;"
        " set username and password_file beside it, or listen on 127.0.0.1",
    ),
    (
        CAMERA + "rtsp:\n  listen: '::'\n  username: viewer\n",
        "a.yaml:5: rtsp.listen: other machines could connect;"
        " set username and password_file beside it, or listen on 127.0.0.1",
    ),
    (
        CAMERA + "rtsp:\n  listen: 0.0.0.0\n  username: viewer\n  password: ''\n",
        "a.yaml:5: rtsp.listen: other machines could connect;"
        " set username and password_file beside it, or listen on 127.0.0.1",
    ),
    (
        CAMERA + "web:\n  username: viewer\n",
        "a.yaml:5: web.username: username and password need each other; set both or none",
    ),
    (CAMERA + "web:\n  port: 8554\n", "a.yaml:5: web.port: rtsp has this port already; give each its own"),
    (CAMERA + "rtsp:\n  port: 8080\n", "a.yaml:1: web.port: rtsp has this port already; give each its own"),
    (
        CAMERA + "privacy:\n  zones:\n    - [[0, 0], [1, 0]]\n",
        "a.yaml:6: privacy.zones[0]: needs three or more points, all different: [[x, y], [x, y], [x, y]]",
    ),
    (
        CAMERA + "privacy:\n  zones:\n    - [[0, 0], [1, 0], [0, 0], [0, 1]]\n",
        "a.yaml:6: privacy.zones[0]: needs three or more points, all different: [[x, y], [x, y], [x, y]]",
    ),
    (
        CAMERA + "privacy:\n  areas:\n    - - [0, 0]\n      - [1, 0]\n      - [0.5, 1.2]\n",
        "a.yaml:8: privacy.areas[0][2]: must be fractions of the picture's width and height, 0 to 1, from its top left",
    ),
    (
        CAMERA + "privacy:\n  zones:\n    - - [0, 0]\n      - [1, 0, 0]\n      - [0.5, 1]\n",
        "a.yaml:7: privacy.zones[0][1]: must be two numbers, [x, y]",
    ),
    (
        CAMERA + "privacy:\n  zones:\n    - [[0, 0], [1, 1], [1, 0], [0, 1]]\n",
        "a.yaml:6: privacy.zones[0]: crosses or touches itself; give the corners in order, once around",
    ),
    (
        CAMERA + "privacy:\n  min_face_height: 0.5\n  max_face_height: 0.5\n",
        "a.yaml:6: privacy.max_face_height: must be more than min_face_height, or nobody is masked",
    ),
    (
        CAMERA + "    privacy:\n      max_person_height: 0.4\nprivacy:\n  min_person_height: 0.5\n",
        "a.yaml:5: cameras[0].privacy.max_person_height: must be more than min_person_height, or nobody is masked",
    ),
    (
        CAMERA + "    privacy:\n      min_face_height: 0.5\nprivacy:\n  max_face_height: 0.4\n",
        "a.yaml:4: cameras[0].privacy.max_face_height: must be more than min_face_height, or nobody is masked",
    ),
    (CAMERA + "privacy:\n  max_face_height: 0\n", "a.yaml:5: privacy.max_face_height: must be more than 0"),
    (CAMERA + "privacy:\n  min_person_height: 1\n", "a.yaml:5: privacy.min_person_height: must be less than 1"),
    (CAMERA + "privacy:\n  targets: []\n", "a.yaml:5: privacy.targets: name at least one of face, head, person"),
    (
        CAMERA + "privacy:\n  targets: [face, persn]\n",
        "a.yaml:5: privacy.targets[1]: must be one of face, head, person; did you mean 'person'?",
    ),
    (CAMERA + "privacy:\n  targets: face\n", "a.yaml:5: privacy.targets: must be a list; put '- ' before each entry"),
    (
        CAMERA + "encode:\n  preset: superfest\n",
        "a.yaml:5: encode.preset: must be one of"
        " ultrafast, superfast, veryfast, faster, fast, medium; did you mean 'superfast'?",
    ),
    (CAMERA + "    url: demo://\n", "a.yaml:4: cameras[0].url: given twice; the first is on line 3"),
    (CAMERA + "web: {}\nweb: {}\n", "a.yaml:5: web: given twice; the first is on line 4"),
    (CAMERA + "? [a, b]\n: c\n", "a.yaml:4: a key must be a plain word"),
    (CAMERA + "    <<: {}\n", "a.yaml:4: cameras[0].<<: merging is not supported; write the keys out"),
    (
        CAMERA + "    password: x\n",
        "a.yaml:2: cameras[0].username: a password needs the username that it belongs to",
    ),
    (LOGIN + "    password: ${PW}\n", f"a.yaml:5: cameras[0].password: the environment variable PW {UNSET}"),
    (
        LOGIN + "    password: ${-}\n",
        "a.yaml:5: cameras[0].password: '${' must be followed by NAME}; write '$${' for the characters themselves",
    ),
    ("cameras:\n  - id: yard\n    url: ${URL}\n", f"a.yaml:3: cameras[0].url: the environment variable URL {UNSET}"),
    (CAMERA + "rtsp:\n  port: ${PORT}\n", f"a.yaml:5: rtsp.port: the environment variable PORT {UNSET}"),
    (
        LOGIN + "    password_file: yard\n",
        "a.yaml:5: cameras[0].password_file: a relative name is a credential, which LoadCredential= in the systemd"
        " unit must pass to the service;"
        " in a shell, set CREDENTIALS_DIRECTORY to its folder",
    ),
    (
        LOGIN + "    password_file: /nowhere/yard\n",
        "a.yaml:5: cameras[0].password_file: /nowhere/yard cannot be read: No such file or directory",
    ),
    (
        LOGIN + "    password: x\n    password_file: /nowhere\n",
        "a.yaml:6: cameras[0].password_file: give password or password_file, not both",
    ),
    (
        "cameras:\n\t- id: yard\n",
        "a.yaml:2: this character cannot begin a value; put the value in quotes, indent by spaces, not tabs",
    ),
    (
        LOGIN + "    password: @home\n",
        "a.yaml:5: this character cannot begin a value; put the value in quotes, indent by spaces, not tabs",
    ),
    (
        LOGIN + "    password: a: b\n",
        "a.yaml:5: a ':' too many, or the line is indented wrongly; quote a value that holds ': '",
    ),
    (LOGIN + "    password: *home\n", "a.yaml:5: a value that begins with * must be in quotes"),
    (LOGIN + "    password: *\n", "a.yaml:5: a value that begins with * or & must be in quotes"),
    (LOGIN + "    password: &home\n", "a.yaml:5: cameras[0].password: a value that begins with & must be in quotes"),
    (LOGIN + "    password: !home\n", "a.yaml:5: cameras[0].password: a value that begins with ! must be in quotes"),
    (LOGIN + "    password: 'home\n", "a.yaml:6: a quote was opened and never closed"),
    (
        LOGIN + "    password: {home\n",
        "a.yaml:6: a '{' is not closed by '}'; put a value that begins with '{' in quotes",
    ),
    (
        LOGIN + "    password: %home\n",
        "a.yaml:5: this character cannot begin a value; put the value in quotes, indent by spaces, not tabs",
    ),
    (CAMERA + "web\n", "a.yaml:5: a key without ':'; write 'key: value'"),
    (CAMERA + "   loop: true\n", "a.yaml:4: the indentation does not match the lines above"),
    ("a: [b\n", "a.yaml:2: a list that was opened with '[' is not closed by ']'"),
    (CAMERA + "---\n" + CAMERA, "a.yaml:4: a second '---'; one file holds one document"),
    (b"# \xff\n", "a.yaml:1: not UTF-8 text; save the file as UTF-8"),
    (b"# a\n# \x00\n", "a.yaml:1: holds control characters; save the file as plain text"),
    (b"#" * 300_000, "a.yaml:1: larger than 256 KiB; this is no settings file"),
    ("cameras: &a\n  - *a\n", f"a.yaml:1: {TOO_DEEP}"),
    ("cameras: " + "[" * 1500 + "]" * 1500 + "\n", f"a.yaml:1: {TOO_DEEP}"),
    ("cameras: " + "{a: " * 1500 + "}" * 1500 + "\n", f"a.yaml:1: {TOO_DEEP}"),
    (CAMERA + '    username: "a\\0"\n', f"a.yaml:4: cameras[0].username: {NO_TEXT}"),
    (CAMERA + '    username: "\\ud800"\n', f"a.yaml:4: cameras[0].username: {NO_TEXT}"),
    (CAMERA + 'detect:\n  models_dir: "/a\\0b"\n', f"a.yaml:5: detect.models_dir: {NO_TEXT}"),
    (LOGIN + '    password_file: "/a\\0b"\n', f"a.yaml:5: cameras[0].password_file: {NO_TEXT}"),
    (CAMERA + 'redact:\n  image: "/a\\0b"\n', f"a.yaml:5: redact.image: {NO_TEXT}"),
    (CAMERA + 'web: {"a\\0": 1}\n', f"a.yaml:4: web: a key {NO_TEXT}"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_wrong_yaml_gives_exactly_this_message(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert problems(tmp_path, text) == [message]


def test_all_problems_are_listed_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
cameras:
  - id: yard
    url: rtsp://10.0.0.2/s
    transprt: tcp
  - id: Gate
    url: ftp://x
rtsp:
  listen: 0.0.0.0
  port: http
web:
  password_file: nowhere
"""
    assert [":".join(line.split(":")[:3]) for line in problems(tmp_path, text)] == [
        "a.yaml:4: cameras[0].transprt",
        "a.yaml:5: cameras[1].id",
        "a.yaml:6: cameras[1].url",
        "a.yaml:9: rtsp.port",
        "a.yaml:10: web.username",
        "a.yaml:11: web.password_file",
    ]


def test_billion_laughs_are_refused_quickly(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert problems(tmp_path, "\n".join(rows)) == [f"a.yaml:1: {TOO_DEEP}"]


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no\.yaml: cannot be read: No such file or directory$"):
        load_settings(tmp_path / "no.yaml")


# --- secrets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["{s}", "'{s}", "*{s}", "&{s} x: y", "!{s} x", "@{s}", "[{s}", "{{{s}", "a: {s}: b"])
def test_messages_never_repeat_a_secret(tmp_path: Path, value: str) -> None:
    secret = "hunter2"
    text = LOGIN + f"    password: {value.format(s=secret)}\n    bad: {secret}\n    max_fps: {secret}\n"
    text += f"    transport: {secret}\n    push_url: ftp://u:{secret}@h\n"
    assert secret not in "\n".join(problems(tmp_path, text))


def test_settings_do_not_show_secrets_when_printed(tmp_path: Path) -> None:
    text = "cameras:\n  - id: yard\n    url: rtsp://u:hunter2@h/s\n    password: hunter2\n    push_url: rtsp://u:hunter2@p/s\n"
    assert "hunter2" not in repr(load(tmp_path, text))


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_no_file_content_raises_anything_but_a_settings_error(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.yaml"
    path.write_bytes(content.encode(errors="surrogatepass") if isinstance(content, str) else content)
    with pytest.raises(SettingsError):
        load_settings(path, environ={})
