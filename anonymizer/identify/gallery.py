"""The people who may be recognised: encrypted templates in one file, never pictures, each until their consent ends."""

from __future__ import annotations

import base64
import datetime
import difflib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cryptography.fernet import Fernet, InvalidToken

from anonymizer.errors import GalleryError
from anonymizer.types import F32

EMBEDDING_LENGTH = 128
PRIVATE = 0o600  # mode of both files
OTHERS = 0o077  # bits of a mode that let anybody but the owner do anything


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """One enrolled person."""

    name: str
    alias: str  # what logs say: the pseudonym, or the name
    enrolled: datetime.date
    consent_until: datetime.date  # the last day
    model: str  # the embedder that made the templates
    templates: F32  # (N, 128), N at least 1, each of length 1

    def __repr__(self) -> str:
        return f"Person({self.alias!r}, until {self.consent_until}, {len(self.templates)} templates)"

    def consents(self, today: datetime.date) -> bool:
        """Whether the consent holds today; not before it was given either, for then this machine's clock is wrong."""
        return self.enrolled <= today <= self.consent_until


class Gallery:
    """A file of templates and the file of their key, both readable by their owner alone; used by one thread.

    Reading decrypts all of it and writing replaces all of it, for it holds a few people with some hundred templates.
    """

    def __init__(self, path: Path, key_path: Path) -> None:
        self._path = path
        self._key_path = key_path

    def stamp(self) -> tuple[int, int] | None:
        """A value that changes whenever the file does; None if there is no file."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def people(self) -> tuple[Person, ...]:
        """Everybody enrolled, by name; nobody without a file. Raises GalleryError."""
        try:
            token = self._path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise GalleryError(f"{self._path}: cannot be read: {error.strerror}") from error
        try:
            return _unpacked(Fernet(self._key()).decrypt(token))
        except (InvalidToken, ValueError, KeyError, TypeError) as error:
            text = (
                f"{self._path}: was altered, or {self._key_path} is not its key; delete both and enroll everybody anew"
            )
            raise GalleryError(text) from error

    def put(self, person: Person) -> None:
        """Enroll somebody, in place of whoever had the name. Raises GalleryError."""
        with self._alone():
            others = [other for other in self.people() if other.name != person.name]
            for other in others:
                if {person.name, person.alias} & {other.name, other.alias}:
                    raise GalleryError(f"{other.name} has that name or pseudonym already; choose another")
            self._write([*others, person])

    def remove(self, name: str) -> None:
        """Forget somebody. Raises GalleryError if nobody has that name."""
        with self._alone():
            people = self.people()
            if missing := unknown([name], people):
                raise GalleryError(missing[0])
            self._write([person for person in people if person.name != name])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Locks the gallery: another process that has read it must not bring back somebody who is removed now."""
        folder = None
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise GalleryError(f"{error.filename or self._path}: cannot be written: {error.strerror}") from error
        finally:
            if folder is not None:
                os.close(folder)

    def _key(self) -> bytes:
        try:
            mode = self._key_path.stat().st_mode
            key = self._key_path.read_bytes().strip()
        except OSError as error:
            raise GalleryError(
                f"{self._key_path}: cannot be read: {error.strerror}; it is the key of {self._path}"
            ) from error
        if mode & OTHERS:
            raise GalleryError(f"{self._key_path}: others may read or change this key; run chmod 600 {self._key_path}")
        return key

    def _write(self, people: Iterable[Person]) -> None:
        if not self._key_path.exists():
            self._key_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_private(self._key_path, Fernet.generate_key())
        key = self._key()
        try:
            _write_private(self._path, Fernet(key).encrypt(_packed(people)))
        except ValueError as error:  # nobody is enrolled yet: `people` refuses a gallery that this is not the key of
            raise GalleryError(f"{self._key_path}: holds no key; delete it, and a new one is made") from error


def unknown(names: Iterable[str], people: Sequence[Person]) -> list[str]:
    """One sentence for each name that nobody enrolled has."""
    known = [person.name for person in people]
    sentences = []
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"enrolled: {', '.join(known) or 'nobody'}"
            sentences.append(f"nobody is enrolled as {name!r}; {hint}")
    return sentences


def _write_private(path: Path, data: bytes) -> None:
    """Write a file for the folder's owner alone, the daemon's user; it gets its name once all of it is on the disk."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)  # not by name, which might be a link by now
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _packed(people: Iterable[Person]) -> bytes:
    rows = [
        {
            "name": person.name,
            "alias": person.alias,
            "enrolled": person.enrolled.isoformat(),
            "consent_until": person.consent_until.isoformat(),
            "model": person.model,
            "templates": base64.b64encode(np.asarray(person.templates, "<f4").tobytes()).decode(),
        }
        for person in people
    ]
    return json.dumps(rows).encode()


def _unpacked(data: bytes) -> tuple[Person, ...]:
    people = []
    for row in json.loads(data):
        templates = np.frombuffer(base64.b64decode(row["templates"]), "<f4").reshape(-1, EMBEDDING_LENGTH)
        if not len(templates) or not np.isfinite(templates).all():
            raise ValueError("templates are missing or not finite")
        person = Person(
            name=str(row["name"]),
            alias=str(row["alias"]),
            enrolled=datetime.date.fromisoformat(row["enrolled"]),
            consent_until=datetime.date.fromisoformat(row["consent_until"]),
            model=str(row["model"]),
            templates=templates.astype(np.float32),
        )
        people.append(person)
    return tuple(sorted(people, key=lambda person: person.name))
