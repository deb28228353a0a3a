"""What must hold of every picture that a camera shows, whatever befalls it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from anonymizer.policy.people import SPREAD_SIGMAS
from anonymizer.settings.schema import PrivacySettings, TargetName
from anonymizer.track.motion import SPREAD_LIMIT
from anonymizer.types import Reason, RedactedFrame, Target
from scripts.fuzz.play import Look, Record, Shown, Taken
from scripts.fuzz.scene import LEAST_PX, SIZE, Box, Walker, pixels

COVERED = 0.9  # of somebody's pixels
ANSWER_NS = 150_000_000  # of the look-ahead is left to whoever looks at its last frame


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that did not hold of a picture."""

    rule: str
    seq: int
    detail: str = ""


def breaches(record: Record, checked: Counter[str]) -> Iterator[Breach]:
    """All of them; `checked` counts what each rule was asked about."""
    shown = [each for each in record.shown if each.picture.whole_frame is not Reason.NO_SIGNAL]
    yield from _order(record.shown, shown)
    for each in shown:
        if each.picture.whole_frame is None:
            yield from _of_picture(record, each, checked)


def _order(everything: Sequence[Shown], shown: Sequence[Shown]) -> Iterator[Breach]:
    for before, after in pairwise(shown):
        if after.picture.seq <= before.picture.seq:
            yield Breach("frames leave in order, each once", after.picture.seq)
    for before, after in pairwise(everything):
        if after.picture.pts_ns <= before.picture.pts_ns:
            yield Breach("time goes on", after.picture.seq)


def _of_picture(record: Record, shown: Shown, checked: Counter[str]) -> Iterator[Breach]:
    picture, taken = shown.picture, record.taken[shown.picture.seq]
    told = {seq: look for seq, look in record.looks.items() if _is_told(record, look, seq, shown)}
    if taken.frame.suspect:
        yield Breach("a damaged picture is masked whole", picture.seq)
    if not told:
        yield Breach("nothing shows before the first look", picture.seq)
    own = told.get(picture.seq)
    found = {walker for walker, _ in own.found} if own else set()
    for walker, box in taken.people:
        rule = "who was found in it is masked" if walker in found else _reason(record, walker, taken, told)
        part = _part(record.case.privacy, walker, box)
        if rule is None or part is None:
            continue
        checked[rule] += 1
        covered = _covered(picture, taken, part)
        if covered < COVERED:
            yield Breach(rule, picture.seq, f"{covered:.2f} of a {walker.target.name.lower()} at {pixels(part)}")


def _is_told(record: Record, look: Look, seq: int, shown: Shown) -> bool:
    """Whether an answer came in time for a picture, from the same connection."""
    epoch = record.taken[shown.picture.seq].frame.epoch
    return look.answered_ns <= shown.at_ns and record.taken[seq].frame.epoch == epoch


def _reason(record: Record, walker: Walker, taken: Taken, told: dict[int, Look]) -> str | None:
    """Why somebody must be masked whom no look found in this very frame; None: nobody can know of them."""
    privacy, frame = record.case.privacy, taken.frame
    sighted = sorted(seq for seq, look in told.items() if any(found is walker for found, _ in look.found))
    captured_ns = {seq: record.taken[seq].frame.captured_ns for seq in sighted}
    ahead_ns = privacy.effective_lookahead_ms * 1_000_000 - ANSWER_NS
    before = [seq for seq in sighted if seq < frame.seq]
    after = [seq for seq in sighted if seq > frame.seq and captured_ns[seq] - frame.captured_ns <= ahead_ns]
    if not after:
        looked_at = max((seq for seq in told if seq <= frame.seq), default=None)
        is_newest = looked_at != frame.seq and before[-1:] == [looked_at]
        is_followed = is_newest and not _is_out_of_reach(record, walker, taken, before)
        return "whom the look before found is masked until the next one" if is_followed else None
    if not before:
        is_somebody_else = _takes_over(record, walker, after[0], told)
        return None if is_somebody_else else "who is found within the look-ahead is masked before"
    gap_ns = captured_ns[after[0]] - captured_ns[before[-1]]
    return "who is found before and after is masked between" if gap_ns <= privacy.hold_ms * 1_000_000 else None


def _is_out_of_reach(record: Record, walker: Walker, taken: Taken, before: Sequence[int]) -> bool:
    """Whether somebody went further, since the look that found them first, than masks of those reach who are not seen.

    That is bounded (SPREAD_LIMIT): it takes a `max_detection_age_ms` far above the default to get there.
    """
    last = record.taken[before[-1]]
    since_ns = last.frame.captured_ns - record.case.privacy.hold_ms * 1_000_000
    is_known = any(record.taken[seq].frame.captured_ns >= since_ns for seq in before[:-1])
    was, now = (dict(each.people)[walker] for each in (last, taken))
    reach_px = SPREAD_SIGMAS * SPREAD_LIMIT * max(was[2] - was[0], was[3] - was[1])
    return not is_known and max(abs(a - b) for a, b in zip(was, now, strict=True)) > reach_px


def _takes_over(record: Record, newcomer: Walker, first: int, told: dict[int, Look]) -> bool:
    """Whether the look that found somebody first missed another of their kind who had been found near there.

    That one's track goes on with the newcomer, for the two cannot be told apart (decision 12 of ARCHITECTURE.md). Until
    then the way from the one to the other is masked, which the newcomer did not walk.
    """
    box = next(box for walker, box in told[first].found if walker is newcomer)
    present = {walker for walker, _ in told[first].found}
    since_ns = record.taken[first].frame.captured_ns - record.case.privacy.hold_ms * 1_000_000
    return any(
        walker.target is newcomer.target and walker not in present and _is_near(box, last)
        for seq, look in told.items()
        if seq < first and record.taken[seq].frame.captured_ns >= since_ns
        for walker, last in look.found
    )


def _is_near(one: Box, other: Box) -> bool:
    """Whether boxes meet when both are grown by half of a side, the most that a track is matched over."""
    reach = [((one[side + 2] - one[side]) + (other[side + 2] - other[side])) / 2 for side in (0, 1)]
    return all(
        one[side] - reach[side] < other[side + 2] and other[side] - reach[side] < one[side + 2] for side in (0, 1)
    )


def _part(privacy: PrivacySettings, walker: Walker, box: Box) -> Box | None:
    """What of somebody the settings mask; None: nothing that counts."""
    is_face = walker.target is Target.FACE
    kind = "face" if is_face else "person"
    least, most = (getattr(privacy, f"{word}_{kind}_height") for word in ("min", "max"))
    x1, y1, x2, y2 = box
    is_within = (least or 0.0) < (y2 - y1) / SIZE.height < (most or math.inf)
    if not is_within or (privacy.areas and x1 >= SIZE.width / 2 - 1):
        return None
    if (TargetName.FACE if is_face else TargetName.PERSON) in privacy.targets:
        return box
    neck = min(y1 + max(0.25 * (y2 - y1), 0.6 * (x2 - x1)), y2)
    return None if is_face or TargetName.HEAD not in privacy.targets or neck - y1 < LEAST_PX else (x1, y1, x2, neck)


def _covered(picture: RedactedFrame, taken: Taken, box: Box) -> float:
    """The share of a box whose luma is no longer the camera's; `fill` paints what the scene does not have."""
    x1, y1, x2, y2 = pixels(box)
    return float((picture.planes.y[y1:y2, x1:x2] != taken.frame.planes.y[y1:y2, x1:x2]).mean())
