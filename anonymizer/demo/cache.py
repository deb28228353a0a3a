"""Finds the folder for files that can be made or fetched again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """An existing folder that can be written to.

    The first usable one of systemd's $CACHE_DIRECTORY, $XDG_CACHE_HOME/anonymizer and ~/.cache/anonymizer; else a new
    private temporary folder, which the system deletes sooner or later.
    """
    candidates = []
    if environ.get("CACHE_DIRECTORY"):
        candidates.append(Path(environ["CACHE_DIRECTORY"].split(":")[0]))
    if environ.get("XDG_CACHE_HOME"):
        candidates.append(Path(environ["XDG_CACHE_HOME"]) / "anonymizer")
    if environ.get("HOME"):
        candidates.append(Path(environ["HOME"]) / ".cache" / "anonymizer")
    for folder in candidates:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="anonymizer-"))
