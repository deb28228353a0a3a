"""The command `enroll`: photos to templates, a sentence for each that will not do, and what the settings may say."""

from __future__ import annotations

import datetime
import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from anonymizer import cli
from anonymizer.check import check
from anonymizer.clock import FakeClock
from anonymizer.errors import GalleryError, SettingsError
from anonymizer.identify.calibration import DISTANCES, RATES, distance_at
from anonymizer.identify.gallery import Gallery
from anonymizer.identify.portrait import find_portrait
from anonymizer.identify.recogniser import RecognisingDetector
from anonymizer.identify.variants import variants
from anonymizer.identities import faults_of, permit_of, recognising
from anonymizer.settings.identities import IdentifySettings, IdentitiesSettings
from anonymizer.settings.load import load_settings
from anonymizer.types import Detections, Frame
from anonymizer.zoo import PICTURES
from tests.fakes import RecordingMeter, make_detections, make_frame
from tests.pictures import read_bgr

ASTRONAUT, ADMIRAL = PICTURES / "astronaut.jpg", PICTURES / "grace_hopper.jpg"
UNKNOWABLE = 300 * "x"  # whether there is such a file cannot be told: as with a folder closed to all but root
CAMERA = "cameras:\n  - id: yard\n    url: demo://\n    identities:\n      "


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text(f"{CAMERA}keep_visible: [Ana B.]\nidentify:\n  gallery: {tmp_path}/g\n  key_file: {tmp_path}/k\n")
    return path


def enroll(config: Path, *arguments: object) -> int:
    return cli.main(["enroll", *map(str, arguments), "--config", str(config)])


def people(config: Path) -> list[tuple[str, str, int]]:
    identify = load_settings(config).identify
    return [(p.name, p.alias, len(p.templates)) for p in Gallery(identify.gallery, identify.key_file).people()]


# --- the command ------------------------------------------------------------------------------------------------


def test_somebody_is_enrolled_listed_and_removed_and_no_photo_is_kept(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blank, both, small = (tmp_path / name for name in ("blank.png", "both.png", "small.png"))
    astronaut, admiral = read_bgr(ASTRONAUT), read_bgr(ADMIRAL)
    cv2.imwrite(str(blank), np.full((300, 300, 3), 128, np.uint8))
    height = min(len(astronaut), len(admiral))
    cv2.imwrite(str(both), np.hstack([astronaut[:height], admiral[:height]]))
    cv2.imwrite(str(small), cv2.resize(astronaut, None, fx=0.35, fy=0.35))
    (tmp_path / "text.jpg").write_text("no picture")

    photos = (ASTRONAUT, blank, both, small, tmp_path / "text.jpg", tmp_path / "none.jpg")
    assert enroll(config, "Ana B.", *photos, "--consent", "2099-01-01", "--pseudonym", "guest 1") == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2][:26] for line in told[:5]] == [
        "no face was found; take a ",
        "shows 2 faces; cut out the",
        told[2].partition(": ")[2][:26],
        "is no picture that can be ",
        "is missing; write where th",
    ]
    assert "px high, 56 are needed" in told[2]
    assert told[5] == "Ana B. is enrolled until 2099-01-01: 18 templates from 1 photo; no photo was kept"
    assert people(config) == [("Ana B.", "guest 1", 18)]
    assert ADMIRAL.read_bytes()[:1000] not in (tmp_path / "g").read_bytes()

    assert enroll(config, "list") == 0
    assert "guest 1" in capsys.readouterr().out
    assert enroll(config, "remove", "Ana") == 1
    assert "did you mean 'Ana B.'?" in capsys.readouterr().err
    assert enroll(config, "remove", "Ana B.") == 0
    assert people(config) == []


def test_photos_of_two_people_are_not_one_person(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert enroll(config, "ana", ASTRONAUT, ADMIRAL, "--consent", "2099-01-01") == 1
    assert "shows somebody who looks unlike the other photos" in capsys.readouterr().err
    assert people(config) == []


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["ana", ASTRONAUT], 2, "until when did ana agree?"),
        (["ana"], 2, "write: enroll NAME PHOTO"),
        (["list", "ana"], 2, "write: enroll NAME PHOTO"),
        (["remove"], 2, "write: enroll NAME PHOTO"),
        ([" ana", ASTRONAUT, "--consent", "2099-01-01"], 2, "must be a name of letters"),
        (["ana", ASTRONAUT, "--consent", "2099-01-01", "--pseudonym", "a/b"], 2, "must be a name of letters"),
        (["ana", ASTRONAUT, "--consent", "2020-01-01"], 1, "the consent ended on 2020-01-01"),
        (["ana", "nowhere.jpg", "--consent", "2099-01-01"], 1, "nowhere.jpg: is missing"),
    ],
)
def test_mistakes_are_explained(
    config: Path, arguments: Sequence[object], status: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enroll(config, *arguments) == status
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_photo_that_is_no_file_is_no_picture(
    config: Path, tmp_path: Path, make: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "photo")
    assert enroll(config, "ana", tmp_path / "photo", "--consent", "2099-01-01") == 1
    assert f"{tmp_path}/photo: is no picture that can be read" in capsys.readouterr().err


def test_a_photo_of_one_pixel_is_no_picture(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((1, 1, 3), np.uint8))
    assert enroll(config, "ana", tmp_path / "photo.png", "--consent", "2099-01-01") == 1
    assert "photo.png: is no picture that can be read" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["stat", "read_bytes"])
def test_a_photo_that_may_not_be_read_is_named_with_the_reason(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, method, refuse)  # root may read everything
    with pytest.raises(GalleryError, match=r"astronaut\.jpg: cannot be read: Permission denied"):
        find_portrait(ASTRONAUT, lambda _frame: make_detections(), 48)


def test_a_day_that_is_none_is_explained(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        enroll(config, "ana", ASTRONAUT, "--consent", "soon")
    assert "soon is no day; write 2027-06-30" in capsys.readouterr().err


def test_settings_in_a_folder_that_may_not_be_entered_are_not_taken_for_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / UNKNOWABLE / "anonymizer.yaml"
    monkeypatch.setattr(cli, "DEFAULT_CONFIG", config)
    for arguments in (["list"], ["remove", "ana"], ["ana", ASTRONAUT, "--consent", "2099-01-01"]):
        assert enroll(config, *arguments) == 2
        assert f"{config}: cannot be read: File name too long" in capsys.readouterr().err


# --- variants and calibration -----------------------------------------------------------------------------------


def test_variants_show_the_face_where_they_say_even_at_the_edge_of_the_photo() -> None:
    photo = np.zeros((200, 160, 3), np.uint8)
    photo[0:90, 0:70] = 255
    for picture, (x1, y1, x2, y2) in variants(photo, (0.0, 0.0, 70.0, 90.0)):
        assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
        inside = picture[round(y1) + 12 : round(y2) - 12, round(x1) + 12 : round(x2) - 12]
        assert inside.size
        assert inside.mean() > 240


def test_the_distance_grows_with_the_rate() -> None:
    assert [distance_at(rate) for rate in RATES] == pytest.approx(DISTANCES)
    assert list(DISTANCES) == sorted(DISTANCES)
    assert DISTANCES[1] < distance_at(0.0003) < DISTANCES[2]


# --- settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"{CAMERA}keep_visible: [ana]\n      only_redact: [bob]\n",
            "a.yaml:6: cameras[0].identities.only_redact: keep_visible and only_redact exclude each other; give one of them",  # noqa: E501
        ),
        (f"{CAMERA}keep_visible: [ana, ana]\n", "a.yaml:5: cameras[0].identities.keep_visible[1]: ana is named twice"),
        (
            f"{CAMERA}keep_visible: [ana/bob]\n",
            "a.yaml:5: cameras[0].identities.keep_visible[0]: must be a name of letters, digits, spaces and . ' - _, "
            "at most 63 of them",
        ),
        (
            f"{CAMERA}keep_visble: [ana]\n",
            "a.yaml:5: cameras[0].identities.keep_visble: unknown key; did you mean 'keep_visible'?",
        ),
        (
            f"{CAMERA}keep_visible: [ana]\nprivacy:\n  mode: live\n",
            "a.yaml:4: cameras[0].identities: needs a privacy.lookahead_ms of 300 or more, and not privacy.mode live",
        ),
        (
            f"{CAMERA}keep_visible: [ana]\nprivacy:\n  targets: [person]\n",
            "a.yaml:4: cameras[0].identities: recognises faces; name face among privacy.targets",
        ),
        (
            f"{CAMERA}keep_visible: [ana]\nidentify:\n  gallery: /var/people\n  key_file: /var/people\n",
            "a.yaml:8: identify.key_file: is the gallery itself, which would overwrite its own key; name another file",
        ),
    ],
)
def test_a_mistake_is_explained_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path, environ={})
    assert str(caught.value).replace(f"{tmp_path}/", "") == expected


def test_a_permit_is_as_strict_as_the_settings() -> None:
    identify = IdentifySettings(min_face_px=80, false_accept_rate=0.001)
    assert permit_of(IdentitiesSettings(), identify) is None
    keep = permit_of(IdentitiesSettings(keep_visible=("ana",)), identify)
    only = permit_of(IdentitiesSettings(only_redact=("ana",)), identify)
    assert keep is not None
    assert only is not None
    assert (keep.inverted, only.inverted) == (False, True)
    assert keep.names == only.names == {"ana"}
    assert keep.same_distance == distance_at(0.001) < keep.near_distance < keep.other_distance
    assert keep.least_face_px == 80


def test_names_that_stand_for_nobody_are_named_at_the_start_and_by_check(config: Path) -> None:
    settings = load_settings(config)
    (fault,) = faults_of(settings, FakeClock())
    assert fault == "camera yard: nobody is enrolled as 'Ana B.'; enrolled: nobody"
    findings = [finding for finding in check(settings, connect=False) if finding.subject == "identities"]
    assert [(finding.ok, finding.text) for finding in findings] == [(False, fault)]


def test_an_ended_consent_and_an_unreadable_gallery_are_named(config: Path, tmp_path: Path) -> None:
    settings = load_settings(config)
    day = datetime.date(2025, 1, 1)
    from anonymizer.identify.gallery import Person

    gallery = Gallery(settings.identify.gallery, settings.identify.key_file)
    gallery.put(Person("Ana B.", "x", day, day, "m", np.ones((1, 128), np.float32)))
    assert faults_of(settings, FakeClock()) == ["camera yard: Ana B. agreed until 2025-01-01; enroll anew"]
    (tmp_path / "k").chmod(0o644)
    (fault,) = faults_of(settings, FakeClock())
    assert "run chmod 600" in fault


class Nothing:
    """A detector."""

    def start(self) -> None:
        pass

    def detect(self, frame: Frame) -> Detections:
        return make_detections(seq=frame.seq)

    def close(self) -> None:
        pass


def test_only_cameras_with_identities_cost_an_embedder(config: Path) -> None:
    settings, plain = load_settings(config), Nothing()
    clock, meter = FakeClock(), RecordingMeter()
    without = settings.model_copy(update={"cameras": ()})
    assert recognising(plain, without, clock=clock, meter=meter) is plain
    voting = recognising(plain, settings, clock=clock, meter=meter)
    assert isinstance(voting, RecognisingDetector)
    with voting:
        assert len(voting.detect(make_frame(3, camera_id="yard"))) == 0
