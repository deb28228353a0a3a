"""House rules about all files of the project, whatever is in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SKIPPED_FOLDERS = {".git", ".cache", ".hypothesis", ".mypy_cache", ".ruff_cache", ".pytest_cache", "__pycache__"}


def shipped_files() -> Iterator[Path]:
    """Every text file of the project, without a need for git."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        made = parts[0] in ("build", "dist", "shared") or any(
            p.startswith(".venv") or p.endswith("egg-info") for p in parts
        )
        if not made and not SKIPPED_FOLDERS & set(parts) and path.is_file() and b"\0" not in path.read_bytes()[:4096]:
            yield path


def test_no_file_names_a_folder_of_somebodys_machine_or_the_host_of_a_registry() -> None:
    hosts = ("pypi" + r"\.org", "files" + r"\.pythonhosted", "deb" + r"\.debian\.org", "registry" + r"\.npmjs")
    folders = (r"(?<![\w.$}])/" + "work/", r"(?<![\w.$}])/" + r"home/\w", r"(?<![\w.$}])/" + r"root/\w")
    pattern = re.compile("|".join((*hosts, *folders)))
    found = []
    for path in shipped_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_the_top_level_folders_are_the_agreed_ones() -> None:
    folders = {path.relative_to(ROOT).parts[0] for path in shipped_files() if path.parent != ROOT}
    assert folders - {".ci"} == {"anonymizer", "config", "docs", "models", "systemd", "scripts", "tests"}
