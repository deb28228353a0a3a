"""Rules of the figures of `anonymizer evaluate video`: who is bare for how long, and how well tracks keep to people."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from anonymizer.evaluate.scores import BINS
from anonymizer.evaluate.video.assignment import assign
from anonymizer.evaluate.video.identity import Followed, IdentityCounts, count_identities
from anonymizer.evaluate.video.judgement import FrameJudgement, judge
from anonymizer.evaluate.video.leaks import ClipScores, JudgedClip, Run, Share, sum_up
from anonymizer.evaluate.video.picture import draw
from anonymizer.evaluate.video.report import as_json, text_table
from anonymizer.evaluate.video.truth import FrameTruth
from anonymizer.types import Reason, Target
from tests.fakes import make_detections

Box = tuple[float, float, float, float]
FRAME_NS = 40_000_000
FACE: Box = (10, 10, 30, 30)


def truth_of(*people: tuple[int, Box], judged: bool = True) -> FrameTruth:
    boxes = np.array([box for _, box in people], np.float32).reshape(-1, 4)
    return FrameTruth(boxes, np.array([who for who, _ in people], np.int32), np.full(len(people), judged, np.bool_))


# Assignment


@settings(deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 5), st.integers(0, 5)), elements=st.integers(-9, 9).map(float)))
def test_no_other_assignment_is_cheaper(costs: np.ndarray) -> None:
    rows, columns = assign(costs)
    assert len(rows) == min(costs.shape)
    assert len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows)
    small = costs if costs.shape[0] <= costs.shape[1] else costs.T
    ways = itertools.permutations(range(small.shape[1]), small.shape[0])
    cheapest = min(sum(small[row, column] for row, column in enumerate(way)) for way in ways)
    assert costs[rows, columns].sum() == pytest.approx(cheapest)


# MOTA and IDF1


def noisy_tracks(seed: int) -> list[tuple[FrameTruth, Followed]]:
    """Five people on straight ways, tracked with noise, misses, swaps of ids and false alarms."""
    rng, frames = np.random.default_rng(seed), []
    place, step, ids = rng.uniform(0, 100, (5, 2)), rng.uniform(-6, 6, (5, 2)), np.arange(5)
    for number in range(30):
        place = place + step
        truth = np.concatenate([place, place + 20], axis=1).round(2)
        kept = rng.random(5) > 0.2
        if rng.random() < 0.2:
            swapped = rng.choice(5, 2, replace=False)
            ids[swapped] = ids[swapped[::-1]]
        tracked = (truth + rng.normal(0, 2, truth.shape))[kept].round(2)
        track_ids = ids[kept] + 100
        if rng.random() < 0.3:
            tracked = np.concatenate([tracked, [[300.0, 300, 320, 320]]])
            track_ids = np.append(track_ids, 200 + number)
        people = FrameTruth(truth.astype(np.float32), np.arange(5, dtype=np.int32), np.ones(5, np.bool_))
        frames.append((people, Followed(tracked.astype(np.float32), track_ids.astype(np.int32))))
    return frames


@pytest.mark.parametrize(
    ("seed", "mota", "idf1", "switches", "misses", "false_positives", "id_true_positives"),
    [
        (0, 0.6, 0.477941, 12, 38, 10, 65),
        (1, 0.733333, 0.765957, 8, 25, 7, 108),
        (2, 0.626667, 0.556777, 17, 33, 6, 76),
        (3, 0.653333, 0.714286, 6, 40, 6, 95),
        (4, 0.633333, 0.376812, 17, 31, 7, 52),
        (5, 0.646667, 0.583942, 9, 35, 9, 80),
    ],
)
def test_the_figures_are_those_of_motmetrics_1_4_0(
    seed: int,
    mota: float,
    idf1: float,
    switches: int,
    misses: int,
    false_positives: int,
    id_true_positives: int,
) -> None:
    counts = count_identities(noisy_tracks(seed))
    assert (counts.truths, counts.switches, counts.misses, counts.false_positives, counts.id_true_positives) == (
        150,
        switches,
        misses,
        false_positives,
        id_true_positives,
    )
    assert counts.mota == pytest.approx(mota, abs=1e-6)
    assert counts.idf1 == pytest.approx(idf1, abs=1e-6)


def test_a_track_on_somebody_who_is_not_judged_counts_for_nothing() -> None:
    followed = Followed(np.array([FACE], np.float32), np.array([1], np.int32))
    counts = count_identities([(truth_of((1, FACE), judged=False), followed)])
    assert counts == IdentityCounts()
    assert counts.mota is None
    assert counts.idf1 is None


# Judgement


def mask_over(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((100, 100), np.bool_)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = True
    return mask


def test_whoever_is_covered_enough_is_not_bare() -> None:
    truth = truth_of((1, FACE), (2, (50, 50, 70, 70)))
    judged = judge(truth, Target.FACE, 0, mask_over((10, 10, 30, 28), (50, 50, 70, 67)), None)
    assert judged.bare.tolist() == [False, True]
    assert judged.over_mask == 0


def test_a_person_s_head_is_judged_as_well() -> None:
    judged = judge(truth_of((1, (0, 0, 40, 100))), Target.PERSON, 0, mask_over((0, 15, 40, 100)), None)
    assert (judged.bare.tolist(), judged.bare_head.tolist()) == ([False], [True])


def test_a_frame_that_was_never_published_shows_nobody() -> None:
    judged = judge(truth_of((1, FACE)), Target.FACE, 0, None, None)
    assert not judged.bare.any()
    assert not judged.is_shown


def test_whoever_is_not_judged_is_never_bare() -> None:
    assert not judge(truth_of((1, FACE), judged=False), Target.FACE, 0, mask_over(), None).bare.any()


def test_seen_is_whoever_a_detection_of_the_frame_shows() -> None:
    truth = truth_of((1, FACE), (2, (50, 50, 70, 70)))
    found = make_detections((51, 51, 70, 70), (0, 80, 10, 90))
    assert judge(truth, Target.FACE, 0, mask_over(), found).seen.tolist() == [False, True]
    assert not judge(truth, Target.PERSON, 0, mask_over(), found).seen.any()


# Sums


def story(bare: str, *, seen: str | None = None, who: int = 1) -> list[FrameJudgement]:
    """One face through a clip, a letter a frame: x bare, . masked, - not published, space absent."""
    frames = []
    for number, letter in enumerate(bare):
        truth = truth_of() if letter == " " else truth_of((who, FACE))
        found = make_detections(FACE) if seen is not None and seen[number] == "s" else None
        mask = {"x": mask_over(), "-": None}.get(letter, mask_over((0, 0, 40, 40)))
        frames.append(judge(truth, Target.FACE, number * FRAME_NS, mask, found))
    return frames


def scores_of(*clips: list[FrameJudgement]) -> ClipScores:
    return sum_up("it", [JudgedClip(Target.FACE, clip) for clip in clips])


def test_the_leak_is_the_share_of_all_faces_in_all_frames() -> None:
    scores = scores_of(story("x..."), story("xx"))
    assert scores.leak == Share(3, 6)
    assert scores.by_height[BINS[1]] == Share(3, 6)
    assert scores.by_height[BINS[3]].value is None


@pytest.mark.parametrize(("bare", "frames"), [("....", 0), ("x.xx.x", 2), ("xxxx", 4), ("xx xx", 2), (" .x", 1)])
def test_the_longest_run_ends_where_the_face_is_masked_or_away(bare: str, frames: int) -> None:
    assert scores_of(story(bare)).longest == Run(frames, frames * FRAME_NS)


@pytest.mark.parametrize(
    ("bare", "leak", "longest"),
    [
        ("x---x---", Share(2, 2), Run(2, 8 * FRAME_NS)),
        ("-x--.x--", Share(2, 3), Run(1, 3 * FRAME_NS)),
        ("x-  x---", Share(2, 2), Run(1, 4 * FRAME_NS)),
        ("----", Share(0, 0), Run()),
    ],
    ids=["all that is shown is bare", "masked in between", "away in between", "nothing is shown"],
)
def test_frames_that_were_never_published_hide_nobody(bare: str, leak: Share, longest: Run) -> None:
    """They water down no share, and whoever is bare is looked at until the next frame comes."""
    scores = scores_of(story(bare))
    assert (scores.leak, scores.by_height[BINS[1]], scores.longest) == (leak, leak, longest)


def test_what_is_masked_needlessly_is_told_by_the_frames_that_were_published() -> None:
    assert scores_of(story("..--")).over_mask == scores_of(story("..")).over_mask > 0


def test_a_face_is_counted_once_however_often_it_is_bare_and_clips_do_not_share_people() -> None:
    assert scores_of(story("x.x"), story("..."), story("x..")).leaked_tracks == Share(2, 3)


@pytest.mark.parametrize(
    ("seen", "bare", "share"),
    [
        ("ss..s", "..x..", Share(1, 2)),
        ("s...s", "..x..", Share(0, 0)),
        ("ss...", "..xxx", Share(0, 0)),
        ("ss..s", "..x-.", Share(1, 1)),
        ("ss" + "." * 24 + "s", "x" * 27, Share(24, 24)),
        ("ss" + "." * 25 + "s", "x" * 28, Share(0, 0)),
    ],
    ids=["within", "not yet known", "never found again", "partly published", "of a second", "longer than a second"],
)
def test_gaps_lie_between_detections_of_somebody_known(seen: str, bare: str, share: Share) -> None:
    assert scores_of(story(bare, seen=seen)).in_gaps == share


def test_a_clip_without_frames_has_no_leak() -> None:
    scores = scores_of([])
    assert scores.leak.value is None
    assert scores.longest == Run()
    assert text_table([scores])


# Output


def test_table_json_and_picture_tell_the_same() -> None:
    frames = [*story("xx.."), judge(truth_of(), Target.FACE, 4 * FRAME_NS, mask_over(), None, Reason.STALE)]
    scores = sum_up("mine", [JudgedClip(Target.FACE, frames, IdentityCounts(4, 4, 0, 0, 1, 4), 12.0, 500.0)])
    text = text_table([scores])
    assert "50.00 %" in text
    assert "2 frames, 80 ms" in text
    assert "1 stale" in text
    (told,) = json.loads(as_json([scores]))
    assert (told["leak"], told["longest_bare_ms"], told["id_switches"]) == (0.5, 80, 1)
    assert told["leaks_by_frame"] == [[1, 1, 0, 0, 0]]
    picture = draw([scores])
    assert picture.shape[2] == 3
    assert (picture == (178, 114, 0)).all(axis=2).any()


def test_persons_have_a_row_for_their_heads() -> None:
    frames = [judge(truth_of((1, (0, 0, 40, 100))), Target.PERSON, 0, mask_over((0, 15, 40, 100)), None)]
    text = text_table([sum_up("mine", [JudgedClip(Target.PERSON, frames)])])
    assert "leak of heads" in text
