"""The attack on our own masks: it finds what is there, it invents nothing, and its figures mean what they say."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from anonymizer import cli
from anonymizer.attack.attackers import ATTACKS, Evidence, ranked, ranks
from anonymizer.attack.command import Request, evaluate_attack
from anonymizer.attack.masking import CHIP_PX, Look, published
from anonymizer.attack.people import Face, persons_of, read_people
from anonymizer.attack.rates import Rate, rate
from anonymizer.attack.trial import attack, default_looks
from anonymizer.errors import DatasetError
from anonymizer.settings.schema import MaskSettings, RedactSettings
from anonymizer.types import F32, U8, Detections, Effect, Frame, Target
from anonymizer.zoo import PICTURES
from tests.fakes import make_detections
from tests.pictures import read_bgr

FILL = Look("fill", RedactSettings(face=MaskSettings(effect=Effect.FILL, margin=0.3)))
PEOPLE = ("ann", "bob", "cem")


def picture(person: int, number: int) -> U8:
    """A "face": a pattern of its person, a little different in each picture, in the middle of another place."""
    pattern = np.random.default_rng(person).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    place = np.random.default_rng([person, number]).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    pixels = np.asarray(cv2.resize(place, (240, 240), interpolation=cv2.INTER_NEAREST), np.uint8)
    pixels[20:220, 20:220] = 128
    face = cv2.resize(pattern, (100, 100), interpolation=cv2.INTER_CUBIC).astype(int)
    pixels[70:170, 70:170] = np.clip(face + 4 * number, 0, 255)
    return pixels


def middle(frame: Frame) -> Detections:
    """A detector that finds the face where `picture` puts it, whatever lies around."""
    x, y = frame.size.width / 2, frame.size.height / 2
    return make_detections((x - 50, y - 50, x + 50, y + 50), camera_id="attack")


def embed(chip: U8) -> F32:
    """An embedder that sees coarse colours and nothing else."""
    return cv2.resize(chip, (6, 6), interpolation=cv2.INTER_AREA).astype(np.float32).reshape(-1) / np.float32(255)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for person, name in enumerate(PEOPLE):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(4):
            cv2.imwrite(str(tmp_path / "set" / name / f"{number}.png"), picture(person, number))
    return tmp_path / "set"


@pytest.fixture
def faces(people: Path) -> tuple[Face, ...]:
    return read_people(people, middle)


# --- people ------------------------------------------------------------------------------------------------------


def test_each_folder_with_pictures_is_a_person_named_by_its_path(people: Path, faces: tuple[Face, ...]) -> None:
    assert persons_of(faces) == PEOPLE
    assert len(faces) == 12
    assert persons_of(read_people(people.parent, middle)) == tuple(f"set/{name}" for name in PEOPLE)


def test_the_largest_face_of_a_picture_is_taken(people: Path) -> None:
    def two(_: Frame) -> Detections:
        return make_detections((5, 5, 55, 56), (100, 100, 220, 230), (0, 0, 400, 400))

    def persons_too(frame: Frame) -> Detections:
        found = two(frame)
        return Detections("c", 0, 0, found.boxes, found.scores, np.array([1, 1, Target.PERSON], np.int32))

    face = read_people(people, persons_too)[0]
    assert round(face.box[3] - face.box[1]) == 130


def test_people_without_two_clear_faces_are_left_out(people: Path) -> None:
    for number in (1, 2, 3):
        (people / "ann" / f"{number}.png").unlink()
    assert persons_of(read_people(people, middle)) == ("bob", "cem")


def test_a_photograph_that_somebody_has_twice_counts_once(people: Path) -> None:
    """Whoever has the very photograph needs no attack: scaled, and compressed anew, it is still the same one."""

    def scaled(frame: Frame) -> Detections:
        middle, reach = frame.size.width / 2, frame.size.width * 50 / 480
        return make_detections((middle - reach, middle - reach, middle + reach, middle + reach))

    cv2.imwrite(str(people / "ann" / "9.jpg"), cv2.resize(picture(0, 1), (180, 180)), [cv2.IMWRITE_JPEG_QUALITY, 60])
    cv2.imwrite(str(people / "bob" / "9.png"), picture(0, 1))
    found = read_people(people, scaled)
    assert [Path(face.picture).name for face in found if face.person == "ann"] == [f"{at}.png" for at in range(4)]
    assert len(found) == 13


@pytest.mark.parametrize("found", [make_detections(), make_detections((10, 10, 40, 40))], ids=["none", "small"])
def test_a_folder_in_which_nobody_is_clear_is_refused(people: Path, found: Detections) -> None:
    with pytest.raises(DatasetError, match="clear faces of two people or more are needed"):
        read_people(people, lambda _: found)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no pictures"):
        read_people(tmp_path, middle)


@pytest.mark.parametrize(
    "content", [b"", b"no picture", cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()]
)
def test_a_file_that_is_no_picture_is_named(people: Path, content: bytes) -> None:
    (people / "ann" / "0.jpg").write_bytes(content)
    with pytest.raises(DatasetError, match=r"ann/0\.jpg: is no picture"):
        read_people(people, middle)


def test_a_folder_with_the_name_of_a_picture_is_named(people: Path) -> None:
    (people / "ann" / "album.jpg").mkdir()
    with pytest.raises(DatasetError, match=r"ann/album\.jpg: cannot be read: Is a directory"):
        read_people(people, middle)


# --- masking -----------------------------------------------------------------------------------------------------


def test_faces_are_published_at_the_height_asked_for(faces: tuple[Face, ...]) -> None:
    shown, chip = next(published(faces[0], FILL, 50, 1, np.random.default_rng(0)))
    assert chip.shape == (CHIP_PX, CHIP_PX, 3)
    black = (shown.max(axis=2) <= 2).any(axis=1).sum()
    assert abs(black - 50 * 1.6) <= 4  # the face with its margins


def test_the_first_frame_is_at_rest_and_later_ones_move(faces: tuple[Face, ...]) -> None:
    look = Look("blur", RedactSettings(face=MaskSettings(effect=Effect.BLUR)))
    first, *others = (chip for _, chip in published(faces[0], look, 60, 4, np.random.default_rng(3)))
    (again,) = (chip for _, chip in published(faces[0], look, 60, 1, np.random.default_rng(9)))
    assert (first == again).all()
    assert all((first != other).any() for other in others)


def test_nothing_of_a_filled_face_reaches_the_attacker(faces: tuple[Face, ...]) -> None:
    shown = [next(published(face, FILL, 80, 1, np.random.default_rng(0)))[1] for face in faces]
    assert all((chip == shown[0]).all() for chip in shown)


# --- attackers and rates -----------------------------------------------------------------------------------------


def outcome(faces: tuple[Face, ...], look: Look) -> dict[str, Rate]:
    (found,) = attack(faces, [look], (80,), embed)
    return found.first


def test_every_attack_names_everybody_when_nothing_is_masked(faces: tuple[Face, ...]) -> None:
    rates = outcome(faces, Look("nothing", None))
    assert {letter: each.share for letter, each in rates.items()} == dict.fromkeys(ATTACKS, 1.0)


def test_attacks_that_know_the_mask_name_people_behind_a_mosaic(faces: tuple[Face, ...]) -> None:
    look = Look("mosaic", RedactSettings(face=MaskSettings(effect=Effect.MOSAIC, margin=0.3)))
    rates = outcome(faces, look)
    assert min(rates["b"].share, rates["d"].share) > 0.9


def test_no_attack_is_better_than_guessing_where_nothing_is_left(faces: tuple[Face, ...]) -> None:
    rates = outcome(faces, FILL)
    assert all(each.share <= 1 / 3 for each in rates.values())
    assert all(each.is_chance(1 / 3) for each in rates.values())


def test_a_face_is_never_compared_with_itself() -> None:
    """In either picture a looks like b: only the picture itself could name a."""
    apart = np.array([[0, 0], [9, 0], [0, 2], [0, 3], [9, 2], [9, 3]], np.float32)
    evidence = Evidence(("a", "a", "b", "b", "b", "b"), apart, apart, apart, np.zeros((6, 1, 8, 8, 3), np.uint8))
    assert ranks(evidence)["a"].tolist() == [1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("counts", [(2,) * 11, (2,) * 5, (9, 9, 4, 2, 2), (20, 2, 2, 2)])
def test_whoever_sees_nothing_is_right_as_often_as_who_guesses(counts: tuple[int, ...]) -> None:
    """Not less often, or an attack that sees something would count for no better than chance."""
    persons = [f"{person:02}" for person, count in enumerate(counts) for _ in range(count)]
    rng, everyone = np.random.default_rng(0), np.array(persons)
    noise = [rng.normal(size=(len(persons), 8)).astype(np.float32) for _ in range(600)]
    shares = [rate((ranked(each, each, everyone) == 0).tolist(), persons).share for each in noise]
    assert np.mean(shares) == pytest.approx(1 / len(counts), abs=0.02)


def test_always_naming_the_same_person_is_chance_however_many_pictures_there_are() -> None:
    persons = ["a"] * 8 + ["b"] * 2 + ["c"] * 2
    assert rate([person == "a" for person in persons], persons).share == pytest.approx(1 / 3)


def test_the_interval_is_that_of_wilson() -> None:
    found = rate([True] * 5 + [False] * 5, ["a", "b"] * 5)
    assert (found.low, found.high) == pytest.approx((0.2366, 0.7634), abs=1e-4)


@pytest.mark.parametrize("share", [0, 1])
def test_an_interval_stays_within_the_possible(share: int) -> None:
    found = rate([bool(share)] * 4, ["a", "b"] * 2)
    assert 0 <= found.low <= found.share <= found.high + 1e-9 <= 1 + 1e-9
    assert found.high - found.low > 0.3


@pytest.mark.parametrize(("low", "chance", "is_chance"), [(0.05, 0.1, True), (0.1, 0.1, True), (0.11, 0.1, False)])
def test_a_rate_is_better_than_chance_when_its_interval_lies_above(low: float, chance: float, is_chance: bool) -> None:
    assert Rate(0.2, low, 0.5).is_chance(chance) is is_chance


# --- the command -------------------------------------------------------------------------------------------------


def test_every_effect_on_faces_is_attacked() -> None:
    effects = {look.settings.face.effect for look in default_looks() if look.settings is not None}
    assert effects == set(Effect) - {Effect.SILHOUETTE}  # of persons; whatever lies in one is filled


def test_the_command_writes_table_figures_and_a_page_with_pictures(people: Path, tmp_path: Path) -> None:
    request = Request(people, (32,), json=tmp_path / "a.json", page=tmp_path / "a.md")
    printed = evaluate_attack(request, middle, embed, (PICTURES / "astronaut.jpg",))
    assert "12 faces of 3 people" in printed
    assert "whoever guesses has 33.3 (100)" in printed
    lines = [line for line in printed.splitlines() if line.startswith("| fill ")]
    assert lines[0].split("|")[-2].strip() == "no better"
    content = json.loads((tmp_path / "a.json").read_text())
    assert (content["persons"], content["faces"]) == (3, 12)
    assert content["outcomes"][0]["first"]["a"]["share"] == 1
    page = (tmp_path / "a.md").read_text()
    assert printed in page
    assert "](a.jpg)" in page
    assert read_bgr(tmp_path / "a.jpg").shape[1] == 112 * len(default_looks())


def test_a_page_that_cannot_be_written_is_a_clear_error(people: Path, tmp_path: Path) -> None:
    request = Request(people, (32,), json=tmp_path / "no" / "a.json", page=None)
    with pytest.raises(DatasetError, match=r"a\.json: cannot be written: No such file"):
        evaluate_attack(request, middle, embed, ())


def test_the_command_line_attacks_portraits_with_the_real_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two portraits, and their mirror images: both are known again when clear."""
    for name in ("astronaut", "grace_hopper"):
        (tmp_path / name).mkdir()
        portrait = read_bgr(PICTURES / f"{name}.jpg")
        for number, pixels in enumerate((portrait, cv2.flip(portrait, 1))):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), pixels)
    assert cli.main(["evaluate", "attack", str(tmp_path), "--height", "64"]) == 0
    printed = capsys.readouterr().out
    assert "4 faces of 2 people" in printed
    row = next(line for line in printed.splitlines() if line.startswith("| nothing"))
    assert row.split("|")[3].strip().startswith("100,")


@pytest.mark.parametrize("height", ["15", "513"])
def test_heights_that_make_no_sense_are_refused(height: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "attack", "x", "--height", height])
    assert f"{height} is no whole number from 16 to 512" in capsys.readouterr().err
