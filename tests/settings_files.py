"""Settings files for tests, loaded as the program does."""

from __future__ import annotations

from pathlib import Path

import pytest

from anonymizer.errors import SettingsError
from anonymizer.settings.load import load_settings
from anonymizer.settings.schema import (
    Settings,
)

CONFIG = Path(__file__).parent.parent / "config"
CAMERA = "cameras:\n  - id: yard\n    url: rtsp://10.0.0.2/s\n"
UNSET = "is not set; /etc/anonymizer/environment counts for the service alone, from its next restart on"
LOGIN = CAMERA + "    username: viewer\n"


def load(folder: Path, text: str, **environ: str) -> Settings:
    path = folder / "a.yaml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, environ=environ)


def problems(folder: Path, text: str | bytes, **environ: str) -> list[str]:
    """The message, a line a problem, without the folder."""
    path = folder / "a.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError) as caught:
        load_settings(path, environ=environ)
    return str(caught.value).replace(f"{folder}/", "").splitlines()
