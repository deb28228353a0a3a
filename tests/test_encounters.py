"""Clips of people who pass each other: the truth says where each face is, and how much of it is open."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from anonymizer.evaluate.video.rehearsal import Shown, Take
from anonymizer.types import Effect, Reason, RedactionPlan, Region, Shape, Size
from scripts.bench.recognition import Count, judge
from scripts.clips.encounters import Card, Scene, Sight, make_encounter

SCENE = Scene(size=Size(320, 180), fps=10, seconds=0.5)


def card(person: str, colour: tuple[int, int, int]) -> Card:
    return Card(person, np.full((120, 80, 3), colour, np.uint8), (20.0, 20.0, 60.0, 70.0))


def test_each_face_is_where_the_truth_says_in_the_colours_of_whoever_is_in_front(tmp_path: Path) -> None:
    cards = [card("red", (0, 0, 255)), card("blue", (255, 0, 0))]
    sights = make_encounter(cards, SCENE, tmp_path / "a.mp4", np.random.default_rng(4))
    with av.open(str(tmp_path / "a.mp4")) as clip:
        pictures = [frame.to_ndarray(format="bgr24") for frame in clip.decode(video=0)]
    assert len(pictures) == len(sights) == SCENE.frames
    for picture, (red, blue) in zip(pictures, sights, strict=True):
        for sight, channel in ((red, 2), (blue, 0)):
            x, y = (round((sight.box[at] + sight.box[at + 2]) / 2) for at in (0, 1))
            if sight.open_share > 0.95 and 5 < x < 315:
                assert picture[y, x].argmax() == channel
        assert blue.open_share >= red.open_share or not _overlap(red, blue)


def _overlap(one: Sight, other: Sight) -> bool:
    return one.box[0] < other.box[2] and other.box[0] < one.box[2]


def test_the_same_seed_makes_the_same_clip(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_encounter([card("red", (0, 0, 255))], SCENE, tmp_path / f"{name}.mp4", np.random.default_rng(1))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_faces_are_counted_by_what_masks_leave_bare() -> None:
    box, small = (100.0, 100.0, 160.0, 180.0), (10.0, 10.0, 40.0, 50.0)
    sights = [[Sight("ana", box, 1.0), Sight("bob", small, 1.0)]] * 3 + [
        [Sight("ana", box, 0.5), Sight("bob", small, 0)]
    ]
    hidden = Region(small, Shape.BOX, Effect.FILL, Reason.DETECTION)
    plans = [
        RedactionPlan(0, (hidden,)),
        RedactionPlan(1),
        RedactionPlan(2, whole_frame=Reason.STALE),
        RedactionPlan(3, (hidden,)),
    ]
    take = Take(shown=[Shown(plan.seq, Size(320, 240), plan, 0) for plan in plans])
    count = Count()
    judge(take, sights, {"bob"}, {"ana"}, count)
    assert (count.enrolled, count.enrolled_seen) == (3, 2)
    assert (count.strangers, count.strangers_seen) == (3, 1)
    assert (count.frames, count.whole) == (4, 1)
