"""Rules of the systemd unit: it fits the program and gives away as little as it can."""

from __future__ import annotations

import ctypes
import errno
import re
import resource
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

import pytest

from anonymizer import service
from anonymizer.settings.schema import RtspSettings, WebSettings
from anonymizer.settings.section import Section

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "systemd" / "anonymizer.service"
HIGHEST_EXPOSURE = 15  # tenths, as systemd-analyze takes it: 1.5 of 10


def values(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


def number(key: str) -> int:
    (value,) = values(key)
    return int(value)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_exposure_is_low() -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={HIGHEST_EXPOSURE}", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1:] or done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/anonymizer/bin/anonymizer", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert [line for line in done.stderr.splitlines() if "anonymizer.service" in line] == []


def test_the_program_and_settings_are_where_the_installer_puts_them() -> None:
    assert values("ExecStart") == ["/opt/anonymizer/bin/anonymizer run --config /etc/anonymizer/anonymizer.yaml"]
    installer = (ROOT / "scripts" / "install").read_text()
    assert "need_venv /opt/anonymizer " in installer
    assert "/etc/anonymizer/anonymizer.yaml" in installer


def test_systemd_learns_of_start_and_health_from_the_program_alone() -> None:
    assert (values("Type"), values("NotifyAccess")) == (["notify"], ["main"])
    assert 10 <= number("WatchdogSec") <= 60
    assert values("ExecReload") == ["/bin/kill -HUP $MAINPID"]


def test_it_stops_soon_and_comes_back_always_but_not_for_wrong_settings() -> None:
    assert 5 <= number("TimeoutStopSec") <= 10
    assert values("Restart") == ["always"]
    assert number("RestartSec") >= 1
    assert values("RestartPreventExitStatus") == ["2"]


def test_a_start_that_fails_for_hours_is_never_given_up() -> None:
    assert values("StartLimitIntervalSec") == ["0"]  # a limit: whoever fails within 2 s reaches 60 starts in 5 min
    assert values("StartLimitBurst") == []


def test_it_runs_as_its_own_user_without_any_capability() -> None:
    assert values("User") == ["anonymizer"]
    assert values("CapabilityBoundingSet") == values("AmbientCapabilities") == [""]
    assert values("NoNewPrivileges") == ["yes"]


def test_raw_pictures_cannot_reach_a_disk_through_swap_or_core_dumps() -> None:
    assert values("MemorySwapMax") == ["0"]
    assert values("LimitMEMLOCK") == ["infinity"]
    assert values("LimitCORE") == ["0"]


class NoLibc:
    """In place of the C library: notes what would be locked, and refuses."""

    asked: ClassVar[list[int]] = []

    def __init__(self, _name: None, *, use_errno: bool) -> None:
        assert use_errno

    def mlockall(self, flags: int) -> int:
        self.asked.append(flags)
        ctypes.set_errno(errno.EPERM)
        return -1


@pytest.mark.parametrize(("limit", "locks"), [(resource.RLIM_INFINITY, True), (8 << 20, False)])
def test_memory_is_locked_where_it_may_be_without_limit(
    limit: int, locks: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel of a Raspberry Pi ignores MemorySwapMax; with a limit, mappings beyond it would fail."""
    monkeypatch.setattr(NoLibc, "asked", [])
    monkeypatch.setattr(ctypes, "CDLL", NoLibc)
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (limit, limit))
    service._stay_out_of_swap()
    assert NoLibc.asked == ([7] if locks else [])
    assert ("memory cannot be locked (Operation not permitted)" in caplog.text) == locks


def test_as_many_viewers_as_the_settings_allow_find_threads_and_descriptors() -> None:
    def most(section: type[Section], key: str) -> int:
        (limit,) = [each.le for each in section.model_fields[key].metadata if hasattr(each, "le")]
        return int(limit)

    rtsp, web = most(RtspSettings, "max_clients"), most(WebSettings, "max_streams")
    others = 500  # connections that are turned away, cameras, ourselves
    assert number("TasksMax") >= rtsp + web + others
    assert number("LimitNOFILE") >= 2 * rtsp + web + others


def test_only_cameras_and_codecs_are_allowed_as_devices() -> None:
    assert values("DevicePolicy") == ["closed"]
    allowed = {device.split()[0] for device in values("DeviceAllow")}
    assert allowed == {"char-video4linux", "char-media", "char-drm"}
