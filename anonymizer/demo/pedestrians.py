"""Fetches the street clip of Debian's opencv-doc (768x576, 10 fps, 79 s): `python -m anonymizer.demo.pedestrians`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from anonymizer.demo.cache import cache_folder
from anonymizer.errors import SourceError

_PACKAGE = "opencv-doc"
_MEMBER = "./usr/share/doc/opencv-doc/examples/data/vtest.avi"
_NAME = "pedestrians.avi"
_FETCH_TIMEOUT_S = 600
_ADVICE = f"run `apt-get update` and try again, or put the file vtest.avi of the Debian package {_PACKAGE} at"


def pedestrian_clip(folder: Path | None = None) -> Path:
    """The clip in the cache folder, fetched with apt if it is not there yet; needs no root; raises SourceError."""
    folder = folder or cache_folder()
    clip = folder / _NAME
    if clip.exists():
        return clip
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise SourceError(
            f"the street clip is part of a Debian package, and there is no apt-get here; {_ADVICE} {clip}"
        )
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        try:
            film = _extract(_download(Path(scratch)), Path(scratch))
        except subprocess.TimeoutExpired:
            raise SourceError(f"apt-get did not deliver {_PACKAGE} within {_FETCH_TIMEOUT_S} s; try again") from None
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise SourceError(f"cannot fetch {_PACKAGE}: {said[0]}; {_ADVICE} {clip}") from error
        film.replace(clip)
    return clip


def _download(folder: Path) -> Path:
    """The .deb, about 96 MB."""
    command = ["apt-get", "download", "--quiet", _PACKAGE]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_FETCH_TIMEOUT_S)
    return next(folder.glob(f"{_PACKAGE}*.deb"))


def _extract(package: Path, folder: Path) -> Path:
    """The film alone out of the package."""
    film = folder / _NAME
    with film.open("wb") as out:
        unpack = ["dpkg-deb", "--fsys-tarfile", str(package)]
        with subprocess.Popen(unpack, stdout=subprocess.PIPE) as tar:
            pick = ["tar", "--extract", "--to-stdout", _MEMBER]
            subprocess.run(pick, stdin=tar.stdout, stdout=out, stderr=subprocess.PIPE, check=True)
    return film


def main() -> int:
    """Print the clip's path."""
    try:
        print(pedestrian_clip())  # noqa: T201 - the command's answer
    except SourceError as error:
        print(f"pedestrians: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
