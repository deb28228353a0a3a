"""A case out of a seed: how a camera is set, and what goes wrong with it and with its detector."""

from __future__ import annotations

import random
from dataclasses import dataclass

from anonymizer.settings.schema import MaskSettings, Mode, PrivacySettings, RedactSettings, TargetName, TrackSettings
from anonymizer.types import Effect, Shape

TARGETS = (*3 * ((TargetName.FACE, TargetName.PERSON),), (TargetName.FACE, TargetName.HEAD), (TargetName.HEAD,))
LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Troubles:
    """Shares are those of frames, of looks for what befalls those."""

    frames_s: float  # a second, that the camera means to send
    look_ms: float  # that a look takes, by and large
    fails: float  # looks that end without an answer
    repeats: float  # answers that come a second time, later
    lost: float  # questions that never reach the detector
    suspect: float  # decoding faults, each of up to 20 frames
    reconnects: float
    turns: float  # to another view
    stalls: float
    leaps: float  # of the camera's clock
    drops: float  # frames that get lost on the way


@dataclass(frozen=True, slots=True)
class Case:
    """One camera and its hard life."""

    seed: int
    privacy: PrivacySettings
    redact: RedactSettings
    track: TrackSettings
    troubles: Troubles
    frames: int
    people: int  # there from the start


def make_case(seed: int) -> Case:
    """The same for the same seed."""
    draw = random.Random(seed)
    privacy = PrivacySettings(
        mode=draw.choice((Mode.BALANCED, Mode.BALANCED, Mode.LIVE, Mode.STRICT)),
        lookahead_ms=draw.choice((0, 0, 100, 500, 500, 1000, 3000, draw.randint(0, 3000))),
        hold_ms=draw.choice((0, 100, 1000, 1000, 10000, draw.randint(0, 10000))),
        max_detection_age_ms=draw.choice((0, 100, 400, 400, 400, 2000, 5000)),
        max_wait_ms=draw.choice((0, 100, 180, 180, 1000, 5000)),
        areas=(LEFT_HALF,) if draw.random() < 0.1 else (),
    )
    track = TrackSettings(
        looks_per_s=draw.choice((None, 3, 7, 25, 120)), quiet_looks_per_s=draw.choice((3, 3, 5, 20, 120))
    )
    shape = draw.choice(tuple(Shape))
    plain = MaskSettings(effect=Effect.FILL, shape=shape, margin=0.2)
    bare = MaskSettings(effect=Effect.FILL, margin=0.0)
    redact = RedactSettings(face=draw.choice((plain, bare)), person=draw.choice((plain, bare)))
    troubles = Troubles(
        frames_s=draw.choice((2, 5, 15, 25, 25, 60)),
        look_ms=draw.choice((1, 20, 20, 60, 60, 150, 400, 1500)),
        fails=draw.choice((0, 0, 0, 0.05, 0.3)),
        repeats=draw.choice((0, 0, 0.1)),
        lost=0.005,
        suspect=draw.choice((0, 0, 0.02)),
        reconnects=draw.choice((0, 0, 0.01)),
        turns=draw.choice((0, 0, 0.005)),
        stalls=draw.choice((0, 0.01, 0.02)),
        leaps=draw.choice((0, 0, 0.01)),
        drops=draw.choice((0, 0, 0.1)),
    )
    frames, people = draw.randint(40, 260), draw.choice((0, 1, 1, 2, 4))
    privacy = privacy.model_copy(update={"targets": draw.choice(TARGETS), **_heights(draw)})
    return Case(seed, privacy, redact, track, troubles, frames, people)


def _heights(draw: random.Random) -> dict[str, float | None]:
    """Limits, mostly none, some of which some people are beyond."""
    least, most = (None, None, None, 0.1), (None, None, None, 0.3)
    return {
        f"{word}_{kind}_height": draw.choice(limits)
        for kind in ("face", "person")
        for word, limits in (("min", least), ("max", most))
    }
