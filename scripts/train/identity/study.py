"""What augmentation and the margin bring: a head for each person, seed, margin and expansion, judged on new faces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymizer.types import F32
from scripts.train.identity.head import Labelled, Recipe, fit
from scripts.train.identity.views import Gallery

DISTANCE = 0.6  # between embeddings of one person: dlib's own figure
KEPT_ASIDE = 0.25  # of the photos and of the others that may be learned from: they tell when to stop
HEAD, NEAREST = "head", "nearest"

Numbers = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Trial:
    """One way of telling one person from others, judged; shares are 0-1."""

    person: str
    seed: int
    margin: float
    expansion: int  # of each photo: itself and expansion - 1 changed copies
    way: str  # HEAD or NEAREST
    cameras: bool  # judged on faces as cameras show them, else on photos as they are
    false_rejects: float  # of the person's own faces that nothing was learned from
    false_accepts: float  # of the faces of people of whom nothing was learned
    epochs: int  # of the head

    @property
    def accuracy(self) -> float:
        """Mean of the person's faces accepted and the others' refused, so that guessing is a half."""
        return 1 - (self.false_rejects + self.false_accepts) / 2


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Which faces are for what, by number; nobody among the strangers is met before."""

    mine: Numbers
    mine_aside: Numbers
    mine_judged: Numbers
    others: Numbers
    others_aside: Numbers
    strangers: Numbers


def candidates(persons: Sequence[str], photos: int) -> tuple[str, ...]:
    """Those with faces enough to learn from `photos` and to be judged on as many or more."""
    return tuple(sorted(person for person, count in Counter(persons).items() if count >= 2 * photos))


def split(persons: Sequence[str], person: str, photos: int, rng: np.random.Generator) -> Split:
    """`photos` of the person to learn from, a share of them kept aside; the others are dealt out by person."""
    names = np.array(persons)
    mine = rng.permutation(np.flatnonzero(names == person))
    aside = max(round(KEPT_ASIDE * photos), 1)
    # whoever is in several pictures is met before or after, never both
    others = rng.permutation(np.unique(names[names != person]))
    known, kept = others[: len(others) // 2], max(round(KEPT_ASIDE * (len(others) // 2)), 1)
    return Split(
        mine=mine[aside:photos],
        mine_aside=mine[:aside],
        mine_judged=mine[photos:],
        others=np.flatnonzero(np.isin(names, known[kept:])),
        others_aside=np.flatnonzero(np.isin(names, known[:kept])),
        strangers=np.flatnonzero(np.isin(names, others[len(others) // 2 :])),
    )


def trials(
    gallery: Gallery, margin: float, expansions: Sequence[int], *, photos: int, seeds: Sequence[int], recipe: Recipe
) -> Iterator[Trial]:
    """Each person of whom there are faces enough, each seed, each expansion; the head beside plain distances."""
    for person in candidates(gallery.persons, photos):
        for seed in seeds:
            parts = split(gallery.persons, person, photos, np.random.default_rng(seed))
            for expansion in expansions:
                learn = _labelled(gallery, parts.mine, parts.others, expansion)
                aside = _labelled(gallery, parts.mine_aside, parts.others_aside, expansion)
                fitted = fit(learn, aside, recipe, seed)
                known = _views(gallery, np.concatenate([parts.mine, parts.mine_aside]), expansion)
                for cameras in (False, True):
                    own, strangers = (
                        _judged(gallery, each, cameras=cameras) for each in (parts.mine_judged, parts.strangers)
                    )
                    said = {
                        HEAD: (fitted.accepts(own), fitted.accepts(strangers)),
                        NEAREST: (_near(own, known), _near(strangers, known)),
                    }
                    for way, (accepted, wrongly) in said.items():
                        yield Trial(
                            person,
                            seed,
                            margin,
                            expansion,
                            way,
                            cameras,
                            false_rejects=float(1 - accepted.mean()),
                            false_accepts=float(wrongly.mean()),
                            epochs=fitted.epochs,
                        )


def _views(gallery: Gallery, faces: Numbers, expansion: int) -> F32:
    """Photos and their first copies (N, D)."""
    copies = gallery.copies[faces, : expansion - 1]
    return np.concatenate([gallery.plain[faces], copies.reshape(-1, gallery.plain.shape[1])])


def _labelled(gallery: Gallery, mine: Numbers, others: Numbers, expansion: int) -> Labelled:
    own, strange = _views(gallery, mine, expansion), _views(gallery, others, expansion)
    return Labelled(np.concatenate([own, strange]), np.arange(len(own) + len(strange)) < len(own))


def _judged(gallery: Gallery, faces: Numbers, *, cameras: bool) -> F32:
    return gallery.cameras[faces].reshape(-1, gallery.plain.shape[1]) if cameras else gallery.plain[faces]


def _near(embeddings: F32, known: F32) -> NDArray[np.bool_]:
    """Whether the nearest known picture of the person is within dlib's distance."""
    lengths = np.linalg.norm(embeddings[:, None] - known[None], axis=2)
    near: NDArray[np.bool_] = lengths.min(axis=1) < DISTANCE
    return near
