"""Which form of a model's input suits a picture: as many pixels, and as few of them left black as can be."""

from __future__ import annotations

import functools
from fractions import Fraction

from anonymizer.detect.letterbox import Fit, Letterbox
from anonymizer.types import Size

STEP_PX = 32  # sides are multiples of the coarsest grid
MORE = Fraction(102, 100)  # pixels that a form may have, of the model's own
WORTH = 1.1  # of the own form's scale: another one takes memory of its own
# width by height: corridors and doors, old cameras upright, fish-eyes, old cameras, most, two and three lenses in a row
ASPECTS = (
    Fraction(9, 16),
    Fraction(3, 4),
    Fraction(1),
    Fraction(4, 3),
    Fraction(16, 9),
    Fraction(7, 3),
    Fraction(32, 9),
)


@functools.lru_cache(maxsize=256)
def form_for(picture: Size, own: Size) -> Size:
    """The input in which a picture is shown largest, letterboxed: the model's own, or one of a few others."""
    best = max(forms_of(own), key=lambda form: _scale(picture, form))
    return best if _scale(picture, best) >= WORTH * _scale(picture, own) else own


def usable_scale(box: Letterbox) -> float:
    """Input pixels for a source pixel that show something: enlarged, sharp pictures show more, but soft video less."""
    return min(*box.scale, 1.0)


@functools.lru_cache(maxsize=64)
def forms_of(own: Size) -> tuple[Size, ...]:
    """For each aspect the input in which a picture of that aspect is largest."""
    most = int(own.width * own.height * MORE) // STEP_PX**2
    shapes = [Size(STEP_PX * columns, STEP_PX * (most // columns)) for columns in range(1, most + 1)]
    pictures = [Size(int(10_000 * aspect), 10_000) for aspect in ASPECTS]
    return tuple(max(shapes, key=lambda form: _scale(picture, form)) for picture in pictures)


def _scale(picture: Size, form: Size) -> float:
    return usable_scale(Letterbox.of(picture, form, Fit.LETTERBOX))
