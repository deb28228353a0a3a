"""The command `restore`: how often a network that learned a mask names who is behind it, beside ridge regression."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from anonymizer.attack.attackers import FOLDS, Evidence, Ranks, folds_of, ranked, restored
from anonymizer.attack.masking import CHIP_PX, Look, published
from anonymizer.attack.people import Face, persons_of
from anonymizer.attack.rates import rate
from anonymizer.attack.trial import FRAMES, SEED, Embed, default_looks
from anonymizer.errors import DatasetError
from anonymizer.identify.calibration import MODEL
from anonymizer.models import make_embedder
from anonymizer.types import F32, U8
from anonymizer.zoo import Zoo
from scripts.train.arguments import count
from scripts.train.datasets.forms import read_sets
from scripts.train.identity.commands import read_known
from scripts.train.identity.views import strangers
from scripts.train.restore.network import Recipe, learn, small

STRANGER_FRAMES = 4  # of the track of each
OWN_TIMES = 3  # each of the attacker's pictures is learned for one of a third of the strangers'
ON_STRANGERS = Recipe(epochs=20, rate=2e-3)
ON_OWN = Recipe(epochs=6, rate=1e-3)


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers `restore`; it sets `run`, which raises an AnonymizerError."""
    parser = subparsers.add_parser("restore", help="attack masks with a network that learns to undo them")
    parser.set_defaults(run=_restore)
    parser.add_argument("people", type=Path, help="a folder for each person, as for `anonymizer evaluate attack`")
    parser.add_argument("--strangers", type=Path, nargs="+", required=True, help="labelled pictures of other faces")
    parser.add_argument("--limit", type=count, default=600, help="strangers, evenly spread over the pictures (600)")
    parser.add_argument("--look", nargs="+", default=["blur", "fill"], help="as the table of attacks names them")
    parser.add_argument("--height", type=count, default=96, help="of the faces in pixels (96)")


def _restore(arguments: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    looks = {look.name: look for look in default_looks()}
    unknown = [name for name in arguments.look if name not in looks]
    if unknown:
        raise DatasetError(f"no look is called {', '.join(unknown)}; there are: {', '.join(looks)}")
    known = read_known(arguments.people)
    others = list(strangers(read_sets(arguments.strangers), arguments.limit))
    with make_embedder(Zoo().embedders.verify(MODEL)) as embedder:
        clear, clear_others = (_clear(faces, embedder.embed_chip) for faces in (known, others))
    people = len(persons_of(known))
    print(f"{len(known)} faces of {people} people, {len(others)} strangers to learn from; percent named right at once")
    print(f"(95 % interval, among the first five); whoever guesses has {100 / people:.1f}", flush=True)
    for name in arguments.look:
        rng = np.random.default_rng(SEED)
        frames, of_others = (
            np.stack([_masked(face, looks[name], arguments.height, count, rng) for face in faces])
            for faces, count in ((known, FRAMES), (others, STRANGER_FRAMES))
        )
        for way, places in attacks(known, clear, frames, clear_others, of_others).items():
            print(f"{name}, {way}: {_figures(places, known)}", flush=True)
    return 0


def attacks(known: Sequence[Face], clear: F32, frames: U8, clear_others: F32, of_others: U8) -> dict[str, Ranks]:
    """By attack the place at which each face's own person is named.

    `clear` (N, 128) and `frames` (N, F, H, W, 3) are the attacker's pictures and how the mask shows them; a face is
    guessed by what was learned from the other folds. The same of strangers, from whom the network learns first.
    """
    persons = tuple(face.person for face in known)
    everyone, folds = np.array(persons), folds_of(persons)
    chips, targets = small(of_others), np.repeat(clear_others, of_others.shape[1], axis=0)
    first = learn(chips, targets, ON_STRANGERS)
    guessed = np.zeros_like(clear)
    for fold in range(FOLDS):
        own, probes = folds != fold, folds == fold
        if probes.any():
            mixed = torch.cat([small(frames[own])] * OWN_TIMES + [chips[::OWN_TIMES]])
            own_targets = np.repeat(clear[own], frames.shape[1], axis=0)
            wanted = np.concatenate([own_targets] * OWN_TIMES + [targets[::OWN_TIMES]])
            guessed[probes] = learn(mixed, wanted, ON_OWN, first.state_dict()).guess(frames[probes])
    ridge = restored(Evidence(persons, clear, masked=clear, averaged=clear, frames=frames))
    return {
        "ridge regression (d)": ranked(ridge, clear, everyone),
        "network that knows strangers only": ranked(first.guess(frames), clear, everyone),
        "network that knows strangers and the people": ranked(guessed, clear, everyone),
        "mean of that and ridge regression": ranked((guessed + ridge) / np.float32(2), clear, everyone),
    }


def _clear(faces: Sequence[Face], embed: Embed) -> F32:
    rng, nothing = np.random.default_rng(SEED), Look("clear", None)
    return np.stack([embed(next(published(face, nothing, CHIP_PX, 1, rng))[1]) for face in faces])


def _masked(face: Face, look: Look, height_px: int, count: int, rng: np.random.Generator) -> U8:
    return np.stack([chip for _, chip in published(face, look, height_px, count, rng)])


def _figures(places: Ranks, known: Sequence[Face]) -> str:
    persons = [face.person for face in known]
    first, five = (rate((places < limit).tolist(), persons) for limit in (1, 5))
    return f"{100 * first.share:.0f}, {100 * first.low:.0f}-{100 * first.high:.0f} ({100 * five.share:.0f})"
