"""Votes about faces: of clear ones only, for nobody when anything fails, of nobody whose consent ended."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anonymizer.clock import FakeClock
from anonymizer.errors import ModelError
from anonymizer.identify.embedder import FaceEmbedder
from anonymizer.identify.gallery import Gallery, Person
from anonymizer.identify.recogniser import MOST_FACES, REREAD_NS, RETRY_NS, Demands, RecognisingDetector, sharpness
from anonymizer.types import F32, U8, Detections, Doubt, Frame, Planes, Size, Target
from tests.fakes import RecordingMeter, make_detections, make_frame, make_planes

MS = 1_000_000
DAY = datetime.date(2026, 1, 1)  # of the fake clock
BOX = (100.0, 100.0, 180.0, 200.0)
ANA, BOB = (np.eye(128, dtype=np.float32)[index] for index in (0, 1))
PICTURE = make_planes(640, 480, seed=3)


class Model:
    """Gives every picture the same embedding, or does worse."""

    def __init__(self) -> None:
        self.answer: Callable[[U8], F32] = lambda _chip: ANA
        self.fault: ModelError | None = None
        self.runs = 0

    @property
    def input_size(self) -> Size:
        return Size(150, 150)

    def start(self) -> None:
        if self.fault is not None:
            raise self.fault

    def run(self, rgb: U8) -> Mapping[str, F32]:
        self.runs += 1
        return {"embedding": self.answer(rgb)}

    def close(self) -> None:
        pass


class Eyes:
    """A detector that finds what it is told to."""

    def __init__(self) -> None:
        self.found = make_detections(BOX)

    def start(self) -> None:
        pass

    def detect(self, frame: Frame) -> Detections:
        return replace(self.found, seq=frame.seq, camera_id=frame.camera_id)

    def close(self) -> None:
        pass


class Desk:
    """A recogniser with fakes around it."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.meter, self.model, self.eyes = FakeClock(), RecordingMeter(), Model(), Eyes()
        self.gallery = Gallery(folder / "people", folder / "key")
        self.recogniser = RecognisingDetector(
            self.eyes,
            FaceEmbedder(self.model),
            self.gallery,
            model="m",
            cameras={"cam": ("ana",)},
            demands=Demands(60, 54, 100 * MS),
            clock=self.clock,
            meter=self.meter,
        )
        self.seq = 0

    def enroll(self, name: str, template: F32, *, days: int = 30, model: str = "m", since: datetime.date = DAY) -> None:
        until = since + datetime.timedelta(days=days)
        self.gallery.put(Person(name, name, since, until, model, template[None]))

    def look(self, *, camera_id: str = "cam", planes: Planes = PICTURE, pass_ms: int = 200) -> Detections:
        self.clock.advance(pass_ms / 1000)
        self.seq += 1
        return self.recogniser.detect(
            make_frame(self.seq, camera_id=camera_id, pts_ns=self.clock.now_ns(), planes=planes)
        )

    def said(self, **more: Any) -> list[dict[str, float]]:
        votes = self.look(**more).votes
        return [{each.name: round(each.distance, 3) for each in vote.likenesses} for vote in votes]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.enroll("ana", ANA)
    desk.recogniser.start()
    return desk


def test_a_clear_face_is_compared_with_everybody_enrolled(desk: Desk) -> None:
    desk.enroll("bob", BOB)
    assert desk.said() == [{"ana": 0.0, "bob": 1.414}]


def test_other_cameras_are_left_alone(desk: Desk) -> None:
    assert desk.look(camera_id="other").votes == ()
    assert desk.model.runs == 0


@pytest.mark.parametrize(
    "found",
    [
        make_detections((100, 100, 150, 153)),  # too small
        make_detections((1, 100, 81, 200)),  # at the edge
        make_detections((560, 100, 639, 200)),
        make_detections(BOX, score=0.4),  # half hidden, or no face
        make_detections(BOX, target=Target.PERSON),
        make_detections(),
    ],
)
def test_a_face_that_is_not_clear_gets_no_vote(desk: Desk, found: Detections) -> None:
    desk.eyes.found = found
    assert desk.look().votes == ()
    assert desk.model.runs == 0


def test_a_small_face_gets_a_vote_that_is_not_clear(desk: Desk) -> None:
    desk.eyes.found = make_detections((100, 100, 150, 159))
    (vote,) = desk.look().votes
    assert not vote.is_clear


def test_a_blurred_face_gets_no_vote(desk: Desk) -> None:
    y = np.tile(np.linspace(0, 255, 640), (480, 1)).astype(np.uint8)
    assert desk.look(planes=Planes(y, *np.full((2, 240, 320), 128, np.uint8))).votes == ()
    assert desk.model.runs == 0
    assert sharpness(np.zeros((150, 150, 3), np.uint8)) == 0


def test_a_face_whose_mirror_image_is_somebody_else_gets_no_vote(desk: Desk) -> None:
    answers = iter([ANA, BOB])
    desk.model.answer = lambda _chip: next(answers)
    assert desk.look().votes == ()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, 1e6])
def test_an_embedder_that_answers_nonsense_makes_votes_for_nobody(desk: Desk, wrong: float) -> None:
    desk.model.answer = lambda _chip: np.full(128, wrong, np.float32)
    assert desk.said() == [{}]
    assert desk.meter.counts["recognition_refused", "cam", Doubt.EMBEDDER_FAILED] == 1


def test_an_embedder_that_raises_makes_votes_for_nobody_and_detection_goes_on(desk: Desk) -> None:
    def broken(_chip: U8) -> F32:
        raise RuntimeError("no")

    desk.model.answer = broken
    found = desk.look()
    assert len(found) == 1
    assert [vote.likenesses for vote in found.votes] == [()]


def test_an_embedder_that_does_not_load_is_tried_again(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.model.fault = ModelError("gone")
    with caplog.at_level(logging.WARNING):
        desk.recogniser.start()
        assert desk.said() == [{}]
    assert "everybody is masked: gone" in caplog.text
    desk.model.fault = None
    assert desk.said() == [{}]
    assert desk.said(pass_ms=RETRY_NS // MS) == [{"ana": 0.0}]


def test_a_face_is_looked_at_again_only_after_the_interval(desk: Desk) -> None:
    assert [len(desk.look(pass_ms=40).votes) for _ in range(7)] == [1, 0, 0, 1, 0, 0, 1]


def test_many_faces_take_turns(desk: Desk) -> None:
    desk.eyes.found = make_detections(*((90.0 * at + 5, 100.0, 90.0 * at + 75, 180.0) for at in range(6)))
    first, second = ({vote.index for vote in desk.look(pass_ms=40).votes} for _ in range(2))
    assert len(first) == MOST_FACES
    assert first | second == set(range(6))


def test_whoever_is_enrolled_or_removed_meanwhile_is_noticed(desk: Desk) -> None:
    assert desk.said() == [{"ana": 0.0}]
    desk.enroll("bob", BOB)
    desk.gallery.remove("ana")
    assert desk.said() == [{"ana": 0.0}]
    assert desk.said(pass_ms=REREAD_NS // MS) == [{"bob": 1.414}]
    assert desk.meter.counts["recognition_refused", "cam", Doubt.NOT_ENROLLED] == 1


def test_a_gallery_that_cannot_be_read_makes_votes_for_nobody(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "key").chmod(0o644)
    assert desk.said() == [{}]
    assert desk.meter.counts["recognition_refused", "cam", Doubt.NOT_ENROLLED] == 1
    (tmp_path / "key").chmod(0o600)
    assert desk.said(pass_ms=REREAD_NS // MS) == [{"ana": 0.0}]


@pytest.mark.parametrize(
    "consent", [{"since": DAY - datetime.timedelta(days=9), "days": 8}, {"since": DAY + datetime.timedelta(days=1)}]
)
def test_nobody_is_looked_for_outside_the_time_of_their_consent(desk: Desk, consent: dict[str, Any]) -> None:
    desk.enroll("ana", ANA, **consent)
    assert desk.said() == [{}]
    assert desk.meter.counts["recognition_refused", "cam", Doubt.CONSENT_ENDED] == 1


def test_templates_of_another_model_do_not_count(desk: Desk) -> None:
    desk.enroll("ana", ANA, model="other")
    assert desk.said() == [{}]
