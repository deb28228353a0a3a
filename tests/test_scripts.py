"""Rules of the shell scripts: what they install, what they keep, and what they say when they cannot."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "scripts"
LIBRARY = f"set -euo pipefail; source {SCRIPTS}/lib/setup.sh; "


def run(*command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def in_library(text: str) -> subprocess.CompletedProcess[str]:
    """Run bash text after the library; its functions may replace programs."""
    return run("bash", "-c", LIBRARY + text)


def tree(folder: Path) -> dict[str, str]:
    """Files under a folder with their permissions."""
    return {
        str(path.relative_to(folder)): stat.filemode(path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- install and uninstall --------------------------------------------------------------------------------------


def test_install_puts_settings_and_unit_in_place(tmp_path: Path) -> None:
    assert run(SCRIPTS / "install", "--root", tmp_path).returncode == 0
    assert tree(tmp_path) == {
        "etc/anonymizer/anonymizer.yaml": "-rw-r-----",
        "etc/anonymizer/environment": "-rw-------",  # for passwords
        "etc/systemd/system/anonymizer.service": "-rw-r--r--",
    }
    assert (tmp_path / "etc/anonymizer/anonymizer.yaml").read_text() == (ROOT / "config/anonymizer.yaml").read_text()
    assert stat.S_IMODE((tmp_path / "etc/anonymizer/credentials").stat().st_mode) == 0o700


def test_installing_again_keeps_changed_settings_and_renews_the_unit(tmp_path: Path) -> None:
    run(SCRIPTS / "install", "--root", tmp_path)
    settings, unit = tmp_path / "etc/anonymizer/anonymizer.yaml", tmp_path / "etc/systemd/system/anonymizer.service"
    (tmp_path / "etc/anonymizer/environment").write_text("NAME=mine")
    settings.write_text("mine")
    unit.write_text("old")
    again = run(SCRIPTS / "install", "--root", tmp_path)
    assert again.returncode == 0
    assert "keeping your settings" in again.stderr
    assert settings.read_text() == "mine"
    assert (tmp_path / "etc/anonymizer/environment").read_text() == "NAME=mine"
    assert unit.read_text() == (ROOT / "systemd/anonymizer.service").read_text()


def test_uninstall_keeps_settings_and_templates_of_faces_unless_told_to_purge(tmp_path: Path) -> None:
    run(SCRIPTS / "install", "--root", tmp_path)
    (tmp_path / "var/lib/anonymizer").mkdir(parents=True)
    (tmp_path / "var/lib/anonymizer/identities").write_text("")
    (tmp_path / "opt/anonymizer/bin").mkdir(parents=True)
    kept = run(SCRIPTS / "uninstall", "--root", tmp_path)
    assert kept.returncode == 0
    assert "--purge" in kept.stderr
    assert set(tree(tmp_path)) == {
        *("etc/anonymizer/anonymizer.yaml", "etc/anonymizer/environment"),
        "var/lib/anonymizer/identities",
    }
    assert "keeping the templates of enrolled people" in kept.stderr
    assert not (tmp_path / "opt/anonymizer").exists()
    assert run(SCRIPTS / "uninstall", "--purge", "--root", tmp_path).returncode == 0
    assert tree(tmp_path) == {}
    assert run(SCRIPTS / "uninstall", "--purge", "--root", tmp_path).returncode == 0


@pytest.mark.parametrize("script", ["install", "uninstall"])
@pytest.mark.parametrize("folder", ["", "/", "here"])
def test_a_root_that_is_no_absolute_folder_is_refused(script: str, folder: str) -> None:
    refused = run(SCRIPTS / script, "--root", folder)
    assert refused.returncode == 1
    assert refused.stderr == "error: --root needs an absolute folder\n"


@pytest.mark.parametrize("script", ["run", "install", "uninstall"])
def test_an_unknown_option_shows_the_usage(script: str) -> None:
    refused = run(SCRIPTS / script, "--fast")
    assert refused.returncode == 1
    assert f"usage: scripts/{script}" in refused.stderr
    assert "error: unknown option: --fast" in refused.stderr


@pytest.mark.parametrize("script", ["run", "install", "uninstall"])
def test_help_is_given_without_installing_anything(script: str) -> None:
    shown = run(SCRIPTS / script, "--help", PATH="/usr/bin:/bin")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"usage: scripts/{script}")


# --- what the library says --------------------------------------------------------------------------------------


def test_without_root_and_sudo_the_command_to_run_is_named() -> None:
    refused = in_library('id() { echo 1000; }; command() { [ "$2" != sudo ]; }; dpkg-query() { :; }; need_debs a b')
    assert refused.returncode == 1
    assert refused.stderr == (
        "error: this needs root, and sudo is not installed. Run as root: apt-get install --no-install-recommends a b\n"
    )


def test_sudo_never_waits_for_a_password_without_a_terminal() -> None:
    refused = in_library(
        'id() { echo 1000; }; command() { :; }; dpkg-query() { :; }; sudo() { [ "$1" != -n ]; }; need_debs a b'
    )
    assert refused.returncode == 1
    assert refused.stderr == (
        "error: this needs root, and sudo asks for a password."
        " Run in a terminal: sudo apt-get install --no-install-recommends a b\n"
    )


def test_sudo_is_used_where_it_asks_for_nothing() -> None:
    used = in_library('id() { echo 1000; }; sudo() { echo "$*"; }; need_root x; as_root x y')
    assert (used.returncode, used.stdout) == (0, "-n true\nx y\n")


def test_nothing_is_installed_when_all_packages_are_there() -> None:
    quiet = in_library("dpkg-query() { printf installed; }; as_root() { echo called; }; need_debs a b")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_only_missing_packages_are_installed() -> None:
    installed = in_library(
        'dpkg-query() { [ "$4" = a ] && printf installed || printf config-files; };'
        ' need_root() { :; }; as_root() { echo "$*" >&2; }; need_debs a b'
    )
    assert installed.returncode == 0
    assert "apt-get install -q -y --no-install-recommends b\n" in installed.stderr


def test_a_failed_installation_says_what_is_needed() -> None:
    failed = in_library("dpkg-query() { :; }; need_root() { :; }; as_root() { false; }; need_debs a b")
    assert failed.returncode == 1
    assert "could not install a b. Needed: a network or a Debian mirror" in failed.stderr


def test_a_system_without_apt_gets_the_list_of_packages() -> None:
    refused = in_library("command() { false; }; need_debs a b")
    assert refused.returncode == 1
    assert "Debian's names of what is needed: a b" in refused.stderr


def make_source(folder: Path) -> Path:
    (folder / "anonymizer").mkdir(parents=True)
    for name in ("setup.cfg", "pyproject.toml", "anonymizer/__init__.py"):
        (folder / name).write_text("")
    return folder


def make_python(venv: Path, body: str) -> None:
    """An environment whose Python is a shell script."""
    (venv / "bin").mkdir(parents=True)
    python = venv / "bin/python"
    python.write_text(f"#!/bin/sh\n{body}\n")
    python.chmod(0o755)


def test_the_environment_is_left_alone_until_the_metadata_change(tmp_path: Path) -> None:
    source, venv = make_source(tmp_path / "source"), tmp_path / "venv"
    make_python(venv, f'[ "$1" = -c ] || echo "$@" >> {tmp_path}/calls')

    def calls() -> int:
        assert in_library(f"need_venv {venv} {source} -e .").returncode == 0
        return len((tmp_path / "calls").read_text().splitlines())

    assert [calls(), calls()] == [1, 1]
    (source / "setup.cfg").write_text("changed")
    assert [calls(), calls()] == [2, 2]


def test_a_failed_pip_is_tried_again_the_next_time(tmp_path: Path) -> None:
    source, venv = make_source(tmp_path / "source"), tmp_path / "venv"
    make_python(venv, '[ "$1" = -c ]')
    failed = in_library(f"need_venv {venv} {source} -e .")
    assert failed.returncode == 1
    assert "pip could not install" in failed.stderr
    assert not (venv / ".stamp").exists()


def test_an_environment_without_pip_is_made_anew(tmp_path: Path) -> None:
    """As after an interruption while it was made, or once Debian's Python is another."""
    source, venv = make_source(tmp_path / "source"), tmp_path / "venv"
    make_python(venv, "exit 1")
    mended = in_library(f"need_venv {venv} {source} pip")
    assert mended.returncode == 0, mended.stderr
    assert (venv / "pyvenv.cfg").exists()


def test_the_service_is_made_from_a_copy_that_holds_nothing_of_earlier_builds(tmp_path: Path) -> None:
    """Built where it lies, root's files would stop the owner's ./scripts/run, and modules that are gone stay."""
    (tmp_path / "source").mkdir()
    (tmp_path / "copy").mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "anonymizer", "models", "build"):
        (tmp_path / "source" / name).write_text("")
    assert in_library(f"copy_source '{tmp_path}/source' '{tmp_path}/copy'").returncode == 0
    names = {path.name for path in (tmp_path / "copy").iterdir()}
    assert names == {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "anonymizer", "models"}
    assert 'need_venv /opt/anonymizer "$PWD" "$copy"' in (SCRIPTS / "install").read_text()


@pytest.mark.parametrize("script", ["run", "test", "install", "uninstall"])
def test_scripts_can_be_executed(script: str) -> None:
    assert os.access(SCRIPTS / script, os.X_OK)
