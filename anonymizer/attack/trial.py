"""Runs every attack on every way of masking, at every size of faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from anonymizer.attack.attackers import Evidence, ranks
from anonymizer.attack.masking import CHIP_PX, Look, published
from anonymizer.attack.people import Face
from anonymizer.attack.rates import Rate, rate
from anonymizer.settings.schema import SURROUND, MaskSettings, RedactSettings
from anonymizer.types import F32, U8, Effect, Shape

FRAMES = 8  # of each track
TOP = 5
SEED = 1  # the same faces sway the same way in every run; only `noise` differs

Embed = Callable[[U8], F32]  # a chip, RGB (150, 150, 3), to its embedding


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the attacks did against one way of masking; rates by the letter of the attack."""

    look: str
    height_px: int  # of the faces
    first: dict[str, Rate]  # the right person is named first
    top: dict[str, Rate]  # the right person is among the first TOP


def default_looks() -> tuple[Look, ...]:
    """No mask, and every effect that the settings can have; masks are the default ellipses with their margin."""

    def look(name: str, effect: Effect, **more: object) -> Look:
        face = MaskSettings(effect=effect, shape=Shape.ELLIPSE, margin=RedactSettings().face.margin)
        return Look(name, RedactSettings.model_validate({"face": face, **more}))

    return (
        Look("nothing", None),
        look("blur", Effect.BLUR),
        *(look(f"mosaic of {cells} cells", Effect.MOSAIC, mosaic_cells=cells) for cells in (6, 4, 3, 2, 1)),
        look("mosaic of 6 cells, frozen", Effect.MOSAIC, mosaic_frozen=True),
        look("fill with the surround", Effect.FILL, fill_colour=SURROUND),
        look("fill", Effect.FILL),
        look("noise", Effect.NOISE),
        look("image", Effect.IMAGE, image=_disc()),
    )


def _disc() -> bytes:
    """A picture file: a yellow disc on a transparent ground."""
    pixels = np.zeros((128, 128, 4), np.uint8)
    cv2.circle(pixels, (64, 64), 60, (0, 210, 255, 255), -1)
    return bytes(cv2.imencode(".png", pixels)[1])


def attack(faces: Sequence[Face], looks: Sequence[Look], heights_px: Sequence[int], embed: Embed) -> Iterator[Outcome]:
    """One outcome for each size and look; raises what `embed` raises."""
    rng = np.random.default_rng(SEED)
    clear = np.stack([embed(next(published(face, Look("clear", None), CHIP_PX, 1, rng))[1]) for face in faces])
    persons = tuple(face.person for face in faces)
    for height_px in heights_px:
        for look in looks:
            yield _outcome(look, height_px, _evidence(faces, persons, clear, look, height_px, embed))


def _evidence(
    faces: Sequence[Face], persons: tuple[str, ...], clear: F32, look: Look, height_px: int, embed: Embed
) -> Evidence:
    rng = np.random.default_rng(SEED)
    frames = np.stack([np.stack([chip for _, chip in published(face, look, height_px, FRAMES, rng)]) for face in faces])
    means = np.rint(frames.mean(axis=1, dtype=np.float32)).astype(np.uint8)
    return Evidence(
        persons=persons,
        clear=clear,
        masked=np.stack([embed(chips[0]) for chips in frames]),
        averaged=np.stack([embed(mean) for mean in means]),
        frames=frames,
    )


def _outcome(look: Look, height_px: int, evidence: Evidence) -> Outcome:
    places = ranks(evidence)

    def share(limit: int) -> dict[str, Rate]:
        return {letter: rate((each < limit).tolist(), evidence.persons) for letter, each in places.items()}

    return Outcome(look.name, height_px, share(1), share(TOP))
