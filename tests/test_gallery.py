"""Templates of people: private, encrypted, of nobody whose consent ended, and never pictures."""

from __future__ import annotations

import datetime
import errno
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cryptography.fernet import Fernet

from anonymizer.errors import GalleryError
from anonymizer.identify.gallery import Gallery, Person, unknown

DAY = datetime.date(2026, 6, 1)


def person(name: str = "ana", alias: str | None = None, count: int = 3) -> Person:
    templates = np.random.default_rng(len(name)).normal(size=(count, 128)).astype(np.float32)
    return Person(name, alias or name, DAY, DAY + datetime.timedelta(days=30), "model", templates)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def gallery(folder: Path) -> Gallery:
    return Gallery(folder / "people", folder / "people.key")


def test_whoever_was_put_in_comes_out_again(gallery: Gallery) -> None:
    gallery.put(person("bob"))
    gallery.put(person("ana", "p1"))
    ana, bob = gallery.people()
    assert (ana.name, ana.alias, ana.enrolled, ana.model) == ("ana", "p1", DAY, "model")
    assert ana.consent_until == datetime.date(2026, 7, 1)
    assert (ana.templates == person("ana").templates).all()
    assert bob.name == "bob"


def test_a_gallery_that_never_was_holds_nobody(gallery: Gallery, folder: Path) -> None:
    assert gallery.people() == ()
    assert gallery.stamp() is None
    assert not folder.exists()


def test_both_files_are_for_their_owner_alone_and_neither_shows_a_name(gallery: Gallery, folder: Path) -> None:
    gallery.put(person("anastasia", "pseudonym"))
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in folder.iterdir()) == ["people", "people.key"]
    assert not any(word in (folder / "people").read_bytes() for word in (b"anastasia", b"pseudonym", b"templates"))


def test_enrolling_again_replaces_and_changes_the_stamp(gallery: Gallery) -> None:
    gallery.put(person("ana"))
    before = gallery.stamp()
    gallery.put(replace(person("ana", count=5)))
    assert [len(each.templates) for each in gallery.people()] == [5]
    assert gallery.stamp() != before


def test_whoever_is_removed_is_gone(gallery: Gallery) -> None:
    gallery.put(person("ana"))
    gallery.put(person("bob"))
    gallery.remove("ana")
    assert [each.name for each in gallery.people()] == ["bob"]
    with pytest.raises(GalleryError, match=r"nobody is enrolled as 'bbo'; did you mean 'bob'\?"):
        gallery.remove("bbo")


@pytest.mark.parametrize(("name", "alias"), [("p1", None), ("bob", "ana"), ("bob", "p1")])
def test_nobody_gets_the_name_or_pseudonym_of_somebody_else(gallery: Gallery, name: str, alias: str | None) -> None:
    gallery.put(person("ana", "p1"))
    with pytest.raises(GalleryError, match="ana has that name or pseudonym already"):
        gallery.put(person(name, alias))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_key_that_others_may_read_or_change_is_refused(gallery: Gallery, folder: Path, mode: int) -> None:
    gallery.put(person())
    (folder / "people.key").chmod(mode)
    with pytest.raises(GalleryError, match="run chmod 600"):
        gallery.people()
    with pytest.raises(GalleryError, match="run chmod 600"):
        gallery.put(person("bob"))


def test_a_gallery_that_was_altered_is_refused(gallery: Gallery, folder: Path) -> None:
    gallery.put(person())
    data = bytearray((folder / "people").read_bytes())
    data[60] ^= 1
    (folder / "people").write_bytes(data)
    with pytest.raises(GalleryError, match="was altered, or"):
        gallery.people()


@pytest.mark.parametrize("key", [Fernet.generate_key(), b"no key at all", b""])
def test_another_key_opens_nothing(gallery: Gallery, folder: Path, key: bytes) -> None:
    gallery.put(person())
    (folder / "people.key").write_bytes(key)
    with pytest.raises(GalleryError, match=r"people\.key is not its key"):
        gallery.people()


@pytest.mark.parametrize("key", [b"no key at all", b"\xff" * 44, b""])
def test_a_key_file_that_holds_none_is_named_before_anybody_is_enrolled(
    gallery: Gallery, folder: Path, key: bytes
) -> None:
    folder.mkdir(mode=0o700)
    (folder / "people.key").write_bytes(key)
    (folder / "people.key").chmod(0o600)
    with pytest.raises(GalleryError, match=r"people\.key: holds no key; delete it, and a new one is made"):
        gallery.put(person())
    assert not (folder / "people").exists()
    (folder / "people.key").unlink()
    gallery.put(person())


def test_without_its_key_nothing_is_read(gallery: Gallery, folder: Path) -> None:
    gallery.put(person())
    (folder / "people.key").unlink()
    with pytest.raises(GalleryError, match="it is the key of"):
        gallery.people()


def test_templates_that_are_not_finite_or_missing_are_refused(gallery: Gallery) -> None:
    broken = person()
    broken.templates[0, 0] = np.nan
    gallery.put(broken)
    with pytest.raises(GalleryError, match="was altered"):
        gallery.people()


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GalleryError, match="cannot be written"):
        Gallery(tmp_path / "people", tmp_path / "file" / "key").put(person())
    with pytest.raises(GalleryError, match="cannot be read"):
        Gallery(tmp_path, tmp_path / "key").people()


def test_what_several_do_at_once_all_happens(gallery: Gallery, folder: Path) -> None:
    gallery.put(person("gone"))
    deeds = [partial(Gallery(folder / "people", folder / "people.key").put, person(name)) for name in "abcdef"]
    deeds.append(partial(Gallery(folder / "people", folder / "people.key").remove, "gone"))
    with ThreadPoolExecutor(len(deeds)) as pool:
        for done in [pool.submit(deed) for deed in deeds]:
            done.result()
    assert [each.name for each in gallery.people()] == list("abcdef")


def test_what_does_not_fit_on_the_disk_changes_nothing_and_leaves_nothing(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    gallery.put(person("ana"))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GalleryError, match="people: cannot be written: No space left on device"):
        gallery.put(person("bob"))
    assert [each.name for each in gallery.people()] == ["ana"]
    assert sorted(path.name for path in folder.iterdir()) == ["people", "people.key"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_belongs_to_the_owner_of_the_folder(gallery: Gallery, folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    gallery.put(person())
    assert {path.stat().st_uid for path in folder.iterdir()} == {12345}


def test_consent_holds_from_the_day_of_enrolment_to_the_last_day() -> None:
    days = [-1, 0, 30, 31]
    assert [person().consents(DAY + datetime.timedelta(days=day)) for day in days] == [False, True, True, False]


def test_a_person_shows_neither_name_nor_templates_in_messages() -> None:
    assert repr(person("ana", "p1")) == "Person('p1', until 2026-07-01, 3 templates)"


def test_unknown_names_are_explained() -> None:
    assert unknown(["ana"], [person("ana")]) == []
    assert unknown(["zzz"], [person("ana")]) == ["nobody is enrolled as 'zzz'; enrolled: ana"]
    assert unknown(["zzz"], []) == ["nobody is enrolled as 'zzz'; enrolled: nobody"]
