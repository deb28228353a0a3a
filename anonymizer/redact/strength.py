"""How often attackers named people behind each effect, and which settings are weak because of that.

The figures are the best of four attacks on 72 faces of 11 people in `docs/attack.md`; a test compares them with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from anonymizer.settings.schema import SURROUND, MaskSettings, RedactSettings, Settings
from anonymizer.types import Effect

CHANCE = 9  # percent of faces that guessing names right
NAMED_BLUR = 36
NAMED_SURROUND = 20
NAMED_MOSAIC = {6: 51, 4: 38, 3: 28, 2: 25, 1: 22}  # by the number of cells
FACE_IN_PERSON = 3  # a face is about a third as wide as its person


def weaknesses(redact: RedactSettings) -> Iterator[str]:
    """One sentence for each mask behind which people were named more often than by guessing, with what to do."""
    for kind, mask in redact:
        if isinstance(mask, MaskSettings):
            named = _named(kind, mask.effect, redact)
            if named is not None:
                yield (
                    f"redact.{kind}.effect: {mask.effect} averages what it hides, and averages tell who it is: an "
                    f"attacker named {named} % of faces right, by guessing {CHANCE} %; fill, noise and image show "
                    "nothing of them"
                )
    if redact.fill_colour == SURROUND:
        yield (
            f"redact.fill_colour: {SURROUND} shows the place's colour: an attacker named {NAMED_SURROUND} % of faces "
            f"right, by guessing {CHANCE} %; a fixed colour tells nothing"
        )


def weak_effects(settings: Settings) -> tuple[str, ...]:
    """The weaknesses of all cameras, without repetitions."""
    sections = [camera.redact or settings.redact for camera in settings.cameras] or [settings.redact]
    return tuple(dict.fromkeys(text for redact in sections for text in weaknesses(redact)))


def _named(kind: str, effect: Effect, redact: RedactSettings) -> int | None:
    """Percent of faces that were named right behind the mask; None if it shows nothing of them."""
    if effect not in (Effect.MOSAIC, Effect.BLUR):
        return None
    cells = redact.mosaic_cells
    if kind == "person":
        cells = max(cells // FACE_IN_PERSON, 1)
    elif effect is Effect.BLUR:
        return NAMED_BLUR
    return next(named for most, named in sorted(NAMED_MOSAIC.items()) if cells <= most)
