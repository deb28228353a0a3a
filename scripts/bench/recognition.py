"""How well the allow-list keeps: strangers who are seen, and enrolled people who are not, in clips with known truth.

    nice .venv/bin/python -m scripts.bench.recognition PEOPLE [--targets face person] [--clips 5] [--seed 1]
        [--only-redact]

PEOPLE holds folders of photos, one a person, at any depth. Half of the people with more than five photos, drawn by the
seed, are enrolled from five; clips show their other photos among strangers, who pass in front of them and behind. The
whole pipeline plays each clip on a simulated clock. A face is seen where the masks leave more than half of it bare,
whether it was spared or missed. With --only-redact the enrolled are those who must not be seen.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anonymizer import __version__
from anonymizer.capture import open_source
from anonymizer.clock import Clock, SystemClock
from anonymizer.detectors import make_detector
from anonymizer.errors import GalleryError
from anonymizer.evaluate.video.rehearsal import Core, Pace, Rehearsal, Take
from anonymizer.exposure import exposed
from anonymizer.identify.calibration import MODEL
from anonymizer.identify.enrolment import make_person
from anonymizer.identify.portrait import SURE_SCORE, Find, find_portrait
from anonymizer.identities import gallery_of, permit_of, recognising, today_of
from anonymizer.models import make_embedder
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.pipeline.assembly import make_core
from anonymizer.pipeline.status import StatusCell
from anonymizer.ports import FrameSink
from anonymizer.settings.identities import IdentifySettings, IdentitiesSettings
from anonymizer.settings.schema import CameraSettings, PrivacySettings, Settings, TargetName
from anonymizer.types import Frame
from anonymizer.zoo import Zoo
from scripts.clips.encounters import Card, Scene, Sight, make_encounter

PHOTOS = 5  # that somebody is enrolled from
CARDS = 3  # in a clip
AROUND = (1.1, 0.9, 1.6)  # of a face: aside, up and down, in heights of the face: head and shoulders
JUDGED_PX = 60.0
OPEN = 0.9  # share of a face that must be in the frame and in front, for somebody enrolled to be looked for
BARE = 0.5  # share that must be, for a stranger to be exposed at all
SUFFIXES = (".jpg", ".jpeg", ".png")
A_YEAR = datetime.timedelta(days=365)


@dataclass(frozen=True, slots=True)
class People:
    """Portraits by person: those of the enrolled are other photos than they were enrolled from."""

    enrolled: dict[str, list[Card]]
    strangers: dict[str, list[Card]]


@dataclass(slots=True)
class Count:
    """Faces over frames."""

    enrolled: int = 0
    enrolled_seen: int = 0
    strangers: int = 0
    strangers_seen: int = 0
    frames: int = 0
    whole: int = 0

    def __str__(self) -> str:
        seen = 100 * self.enrolled_seen / max(self.enrolled, 1)
        return (
            f"enrolled people seen in {seen:.1f} % of {self.enrolled} faces over {JUDGED_PX:g} px, "
            f"strangers in {self.strangers_seen} of {self.strangers}; {self.whole} of {self.frames} frames masked whole"
        )


def people_in(folder: Path) -> dict[str, list[Path]]:
    """Photos of everybody, by the names of their folders."""
    photos: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            photos.setdefault(path.parent.name, []).append(path)
    return photos


def card_of(person: str, photo: Path, find: Find) -> Card | None:
    """Head and shoulders; None if the photo does not show one large face."""
    try:
        portrait = find_portrait(photo, find, JUDGED_PX)
    except GalleryError:
        return None
    x1, y1, x2, y2 = portrait.face
    aside, up, down = (share * (y2 - y1) for share in AROUND)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    left, top = max(round(x - aside), 0), max(round(y - up), 0)
    picture = portrait.picture[top : round(y + down), left : round(x + aside)]
    return Card(person, picture, (x1 - left, y1 - top, x2 - left, y2 - top))


def gather(folder: Path, settings: Settings, rng: np.random.Generator) -> People:
    """Enroll half of the people with photos to spare, and cut out everybody's other photos."""
    clock, meter = SystemClock(), PrometheusMeter(version=__version__, runtime="")
    photos = people_in(folder)
    able = [name for name, each in sorted(photos.items()) if len(each) > PHOTOS]
    chosen_few = rng.permutation(able).tolist()[: (len(able) + 1) // 2]
    if min(len(chosen_few), len(photos) - len(chosen_few)) < 2:
        raise SystemExit(
            f"{folder}: too few folders of people: two to enroll, with more than {PHOTOS} photos each, and two others"
        )
    detect = settings.detect.model_copy(update={"face_threshold": SURE_SCORE})
    detector = make_detector(detect, frozenset({TargetName.FACE}), is_flat=True, clock=clock, meter=meter)
    people = People({}, {})
    with detector, make_embedder(Zoo().embedders.verify(MODEL)) as embedder:
        for name in sorted(photos):
            mine = [photos[name][at] for at in rng.permutation(len(photos[name])).tolist()]
            is_enrolled = name in chosen_few
            if is_enrolled:
                today = today_of(clock)
                person, refused = make_person(
                    name, mine[:PHOTOS], alias=name, today=today, consent_until=today + A_YEAR, model=MODEL,
                    find=detector.detect, embedder=embedder, least_px=settings.identify.min_face_px,
                )  # fmt: skip
                gallery_of(settings.identify).put(person)
                print(f"enrolled {name}: {len(person.templates)} templates", *refused, sep="\n  ")
            cards = [card_of(name, photo, detector.detect) for photo in mine[PHOTOS if is_enrolled else 0 :]]
            (people.enrolled if is_enrolled else people.strangers)[name] = [card for card in cards if card is not None]
    return people


def casts(people: People, clips: int, rng: np.random.Generator) -> Iterator[list[Card]]:
    """Who appears in each clip: enrolled people and strangers in turn, the first one behind."""
    for number in range(clips):
        sides = [people.enrolled, people.strangers, people.enrolled if number % 2 else people.strangers]
        cards: list[Card] = []
        for side in sides:
            names = sorted(side.keys() - {card.person for card in cards})
            name = names[rng.integers(len(names))]
            cards.append(side[name][rng.integers(len(side[name]))])
        yield [cards[at] for at in rng.permutation(len(cards)).tolist()]


def play(clip: Path, settings: Settings, meter: PrometheusMeter) -> Take:
    """The clip through the whole pipeline."""
    (camera,) = settings.cameras
    clock = SystemClock()
    detect = settings.detect.model_copy(update={"threads": 1})
    detector = make_detector(detect, frozenset(settings.privacy.targets), clock=clock, meter=meter)
    url = CameraSettings(id=camera.id, url=clip.resolve().as_uri(), loop=False)
    source = open_source(url, epoch=0, first_seq=0, clock=clock, meter=meter, paced=False)

    def core(submit: Callable[[Frame], None], sink: FrameSink, on: Clock) -> Core:
        return make_core(
            camera.id, settings.privacy, settings.redact, settings.track, submit=submit, sinks=(sink,), meter=meter,
            clock=on, status=StatusCell(camera.id, on), permit=permit_of(camera.identities, settings.identify),
        )  # fmt: skip

    voting = recognising(detector, settings, clock=clock, meter=meter)
    with contextlib.closing(voting), contextlib.closing(source):
        voting.start()
        source.start()
        return Rehearsal(source, voting, core, Pace(), lambda: 0).perform()


def judge(take: Take, sights: list[list[Sight]], hidden: set[str], wanted: set[str], count: Count) -> None:
    """Add a clip: of whom half is bare; `wanted` should be seen, `hidden` must not be."""
    for shown in take.shown:
        count.frames += 1
        count.whole += shown.plan.whole_frame is not None
        for sight in sights[shown.seq]:
            box = np.array([sight.box], np.float32)
            is_seen = shown.plan.whole_frame is None and bool(len(exposed(box, shown.plan.regions)))
            if sight.person in wanted and sight.box[3] - sight.box[1] > JUDGED_PX and sight.open_share >= OPEN:
                count.enrolled += 1
                count.enrolled_seen += is_seen
            elif sight.person in hidden and sight.open_share >= BARE:
                count.strangers += 1
                count.strangers_seen += is_seen


def main() -> None:
    """Make the clips, play them, print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("--targets", nargs="+", choices=[str(name) for name in TargetName], default=["face", "person"])
    parser.add_argument("--clips", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only-redact", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        identify = IdentifySettings(gallery=folder / "gallery", key_file=folder / "key")
        privacy = PrivacySettings(targets=tuple(TargetName(target) for target in options.targets))
        plain = Settings(cameras=(CameraSettings(id="clip", url="demo://"),), privacy=privacy, identify=identify)
        people = gather(options.people, plain, rng)
        names = tuple(sorted(people.enrolled))
        identities = IdentitiesSettings(**{"only_redact" if options.only_redact else "keep_visible": names})
        camera = plain.cameras[0].model_copy(update={"identities": identities})
        sides = (set(people.enrolled), set(people.strangers))
        hidden, wanted = sides if options.only_redact else sides[::-1]
        settings = plain.model_copy(update={"cameras": (camera,)})
        count, meter = Count(), PrometheusMeter(version=__version__, runtime="")
        for number, cards in enumerate(casts(people, options.clips, rng), 1):
            clip = folder / f"{number}.mp4"
            sights = make_encounter(cards, Scene(), clip, rng)
            judge(play(clip, settings, meter), sights, hidden, wanted, count)
            print(f"after clip {number} of {', '.join(card.person for card in cards)}: {count}", flush=True)
        for line in meter.exposition().decode().splitlines():
            if line.startswith(("anonymizer_kept_visible_total", "anonymizer_recognition_refusals_total")):
                print(line)


if __name__ == "__main__":
    main()
