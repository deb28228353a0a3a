"""Rules of the command line: what each command says and how it ends."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from anonymizer import __version__
from anonymizer.cli import main
from anonymizer.detectors import check_models
from anonymizer.errors import ModelError, PublishError
from anonymizer.probe import Probed
from anonymizer.settings.load import load_settings
from anonymizer.types import Size
from anonymizer.zoo import default_models_dir

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "config" / "demo.yaml"


@pytest.fixture(autouse=True)
def ports(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Free ports for the demo's settings."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        rtsp, web = one.getsockname()[1], two.getsockname()[1]
    monkeypatch.setenv("ANONYMIZER_RTSP_PORT", str(rtsp))
    monkeypatch.setenv("ANONYMIZER_WEB_PORT", str(web))
    return rtsp, web


def refuse(error: BaseException) -> Callable[[Path], int]:
    def run(_path: Path) -> int:
        raise error

    return run


# --- run --------------------------------------------------------------------------------------------------------


def test_run_hands_the_settings_file_to_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[Path] = []

    def run(path: Path) -> int:
        paths.append(path)
        return 0

    monkeypatch.setattr("anonymizer.service.run", run)
    assert main(["run", "--config", "x.yaml"]) == 0
    assert main(["run"]) == 0
    assert paths == [Path("x.yaml"), Path("/etc/anonymizer/anonymizer.yaml")]


@pytest.mark.parametrize("command", ["run", "check"])
def test_wrong_settings_end_with_2_and_the_message_alone(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("camras: []\n")
    assert main([command, "--config", str(path)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"{path}:1: camras: unknown key; did you mean 'cameras'?",
        f"{path}:1: cameras: no camera is named; give at least one, with id and url",
    ]


def test_what_cannot_start_ends_with_1_and_the_message_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("anonymizer.service.run", refuse(PublishError("port 8554 is taken; free it")))
    assert main(["run"]) == 1
    assert capsys.readouterr().err == "port 8554 is taken; free it\n"


def test_messages_hide_the_login_of_an_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("anonymizer.service.run", refuse(ModelError("no rtsp://viewer:hunter2@10.0.0.2/s")))
    assert main(["run"]) == 1
    assert "hunter2" not in capsys.readouterr().err


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anonymizer.service.run", refuse(KeyboardInterrupt()))
    assert main(["run"]) == 130


@pytest.mark.parametrize("arguments", [[], ["dance"], ["probe"], ["models", "train"]])
def test_a_wrong_command_line_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: anonymizer" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["nosuch/figures.json", "."])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / place
    for what in (["detect", "nosuch"], ["video", "nosuch"], ["attack", "nosuch"]):
        assert main(["evaluate", *what, "--json", str(path)]) == 2
        assert capsys.readouterr().err.startswith(f"--json: {path} cannot be written")


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_gallery_that_cannot_be_made_is_refused_before_anything_is_measured(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["evaluate", "detect", "nosuch", "--gallery", str(tmp_path / place)]) == 2
    assert capsys.readouterr().err.startswith(f"--gallery: {tmp_path / place} cannot be made: {tmp_path}/file is no")
    assert main(["evaluate", "detect", "nosuch", "--gallery", str(tmp_path / "new/folder")]) == 1
    assert "nosuch: missing" in capsys.readouterr().err


def test_a_page_in_the_place_of_its_picture_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "attack", "nosuch", "--page", "a.jpg"])
    assert "a.jpg is the name of the picture beside the page; write a.md" in capsys.readouterr().err


def test_help_states_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "exit status: 0 done; 1" in capsys.readouterr().out


# --- check ------------------------------------------------------------------------------------------------------


def test_check_finds_the_demo_ready_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(DEMO)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok   ") for line in lines), lines
    subjects = [line.split(":")[0].split()[1] for line in lines]
    assert subjects == ["settings", "program", *["model"] * 7, "speed", "encoder", "GStreamer", "port", "port"]


def test_check_names_a_taken_port_and_the_way_out(ports: tuple[int, int], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", ports[1])):
        assert main(["check", "--config", str(DEMO)]) == 1
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL"))
    assert line == (
        f"FAIL port {ports[1]} of 127.0.0.1: Address already in use; stop what uses it (anonymizer itself, if it runs),"
        " or change web.listen or web.port"
    )


def test_check_does_not_call_an_address_that_this_machine_lacks_a_taken_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("cameras:\n  - {id: a, url: 'demo://'}\nweb: {listen: 192.0.2.1, username: a, password: b}\n")
    assert main(["check", "--config", str(path)]) == 1
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL"))
    assert "this machine has no such address now; bring its network up, or change web.listen" in line


def test_check_names_missing_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(DEMO.read_text() + f"detect:\n  models_dir: {tmp_path}\n")
    assert main(["check", "--config", str(path)]) == 1
    output = capsys.readouterr()
    assert re.search(r"^FAIL models: .*manifest\.yaml", output.out, re.MULTILINE)
    assert output.err == "1 to mend\n"


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        ("audit: {model: blazeface}", "no model 'blazeface' in .*; did you mean blazeface-full-range"),
        ("audit: {model: nanodet-g-int8}", "finds no faces, all of which would stay bare; .* centerface-int8"),
        ("detect: {attention: nobody}", "no model 'nobody'"),
        ("detect: {face_model: nanodet-g-int8}", "finds no faces"),
        (
            "detect: {person_model: centerface-int8}",
            "finds no persons, .* nanodet-g-int8",
        ),
    ],
)
def test_every_model_that_run_refuses_is_named_by_check(
    section: str, wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{DEMO.read_text()}{section}\n")
    assert main(["check", "--config", str(path)]) == 1
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL"))
    assert re.search(wrong, line)
    with pytest.raises(ModelError, match=wrong):
        check_models(load_settings(path))


@pytest.mark.parametrize("fallback", ["false", "true"])
def test_check_names_a_delegate_that_does_not_start(
    fallback: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.yaml"
    detect = f"detect:\n  delegate: external\n  delegate_library: {tmp_path}/npu.so\n  delegate_fallback: {fallback}\n"
    path.write_text(DEMO.read_text() + detect)
    allowed = fallback == "true"
    assert main(["check", "--config", str(path)]) == (0 if allowed else 1)
    lines = [line for line in capsys.readouterr().out.splitlines() if "npu.so" in line]
    assert len(lines) == 2
    assert all(line.startswith("ok " if allowed else "FAIL") for line in lines)
    assert all("allowed by delegate_fallback" in line for line in lines) == allowed


ENOUGH = "enough for narrow masks in every picture"
WHOLE = "pictures between two looks will be masked whole, or left out, at demo: "


@pytest.mark.parametrize(
    ("privacy", "camera", "expected"),
    [
        ("max_detection_age_ms: 5000, max_wait_ms: 5000", "", ENOUGH),
        ("max_detection_age_ms: 0, max_wait_ms: 5000", ", max_fps: 1", ENOUGH),  # every picture is looked at
        ("max_detection_age_ms: 150", "", "masks will be wider, or pictures left out, at demo; "),
        ("max_detection_age_ms: 20, max_wait_ms: 5000", "", WHOLE),
        ("mode: strict, lookahead_ms: 0, max_wait_ms: 0, max_detection_age_ms: 5000", "", WHOLE),
    ],
)
def test_check_says_whether_the_models_are_quick_enough(
    privacy: str,
    camera: str,
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("anonymizer.check._look_ms", lambda *_: 40.0)
    path = tmp_path / "a.yaml"
    path.write_text(
        f"privacy: {{{privacy}}}\nweb: {{enabled: false}}\nrtsp: {{enabled: false}}\n"
        f"cameras: [{{id: demo, url: 'rtsp://127.0.0.1:1/x'{camera}}}]\n"
    )
    assert main(["check", "--config", str(path)]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "speed" in line)
    assert re.search(r"a look takes \d+ ms, so each camera gets at most \d+\.\d a second", line)
    assert expected in line


@pytest.mark.parametrize("budget", ["", "  budget_ms: 150\n"])
def test_check_states_the_cost_of_tiles(budget: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(DEMO.read_text() + f"detect:\n  reach_px: 16\n{budget}")
    assert main(["check", "--config", str(path)]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "tiles" in line)
    assert "demo at 1280x720: 4 tiles of 960x544 and the whole picture, 5 inferences, faces from 16 px, " in line
    assert "demo at 1920x1080: 9 tiles of 960x544 and the whole picture, 10 inferences, faces from 16 px, " in line
    assert line.endswith("ms, in turn, 150 ms a frame" if budget else "ms, in every frame")


def test_check_opens_the_cameras_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"cameras:\n  - id: yard\n    url: file://{tmp_path}/none.mp4\n")
    assert main(["check", "--config", str(path)]) == 0
    assert main(["check", "--connect", "--config", str(path)]) == 1
    assert "FAIL camera yard: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("privacy", "camera", "room"),
    [
        ("lookahead_ms: 500", "", None),
        ("lookahead_ms: 1000", "", "863 ms"),
        ("lookahead_ms: 1000, mode: live", "", None),
        ("lookahead_ms: 1000", ", max_fps: 15", None),
    ],
)
def test_check_says_when_the_look_ahead_has_no_room_for_the_pictures(
    privacy: str,
    camera: str,
    room: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = Probed("h264", Size(3840, 2160), 25.0, opened_s=0.1, first_frame_s=0.2, suspect=0, frames=60)
    monkeypatch.setattr("anonymizer.check._look_ms", lambda *_: 40.0)
    monkeypatch.setattr("anonymizer.check.probe", lambda *_: sent)
    path = tmp_path / "a.yaml"
    path.write_text(f"privacy: {{{privacy}}}\ncameras: [{{id: yard, url: 'rtsp://127.0.0.1:1/x'{camera}}}]\n")
    main(["check", "--connect", "--config", str(path)])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "camera yard" in line)
    assert ("some are left out" in line) == (room is not None)
    assert (room or "3840x2160") in line


# --- probe ------------------------------------------------------------------------------------------------------


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Two seconds of noise at 10 fps."""
    path = tmp_path / "clip.mp4"
    noise = np.random.default_rng(1)
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for _ in range(20):
            picture = av.VideoFrame.from_ndarray(noise.integers(0, 255, (96, 128, 3), np.uint8), "rgb24")
            film.mux(stream.encode(picture))
        film.mux(stream.encode(None))
    return path


def test_probe_says_what_a_source_sends(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", f"file://{clip}"]) == 0
    assert re.fullmatch(
        r"h264 128x96, 10\.0 fps, connected in \d+\.\d\d s, first picture after \d+\.\d\d s\n", capsys.readouterr().out
    )


def test_probe_of_an_unknown_scheme_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "ftp://viewer:hunter2@x"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("url: must begin with one of rtsp://")
    assert "hunter2" not in error


def test_probe_of_a_closed_port_tells_where_without_the_login(
    ports: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", f"rtsp://viewer:hunter2@127.0.0.1:{ports[0]}/s"]) == 1
    error = capsys.readouterr().err
    assert f"127.0.0.1:{ports[0]}" in error
    assert "hunter2" not in error


def test_probe_reads_the_password_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none"
    assert main(["probe", "rtsp://127.0.0.1:1/s", "--username", "viewer", "--password-file", str(missing)]) == 2
    assert capsys.readouterr().err == f"{missing} cannot be read: No such file or directory\n"


def test_a_password_file_that_is_not_utf_8_is_refused_by_probe_without_a_byte_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pw"
    path.write_bytes(b"h\xfcnter2\n")
    assert main(["probe", "rtsp://127.0.0.1:1/s", "--username", "viewer", "--password-file", str(path)]) == 2
    assert capsys.readouterr().err == f"{path} cannot be read: not UTF-8 text\n"


# --- models, version --------------------------------------------------------------------------------------------


def test_models_are_listed_with_target_size_and_licence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(re.match(r"centerface-int8 +face +\d+x\d+ +int8 +\d+\.\d MB  MIT", line) for line in lines), lines


def test_a_missing_models_folder_is_answered_with_both_ways_to_name_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list", "--models-dir", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.endswith("name a folder of models, by detect.models_dir or --models-dir\n")


def test_models_verify_compares_every_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(re.match(r"ok   model .* MB, .*, sha256 matches$", line) for line in lines)
    assert sum("finds the face it must" in line for line in lines) >= 3


def test_models_verify_finds_an_altered_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = tmp_path / "models"
    shutil.copytree(default_models_dir(), models)
    altered = models / "centerface-int8.tflite"
    altered.write_bytes(altered.read_bytes()[:-1] + b"?")
    assert main(["models", "verify", "--models-dir", str(models)]) == 1
    assert "FAIL model centerface-int8: " in capsys.readouterr().out


def test_version_names_the_program_and_what_it_runs_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith(f"anonymizer {__version__}, Python 3.")
    assert any(line.startswith("av ") for line in others)


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "anonymizer", "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"anonymizer {__version__}\n")


def test_a_reader_who_has_enough_ends_the_command_without_a_traceback() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        command = [sys.executable, "-m", "anonymizer", "models", "list"]
        done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    finally:
        os.close(theirs)
    assert (done.returncode, done.stderr) == (141, "")
