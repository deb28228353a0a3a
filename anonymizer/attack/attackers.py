"""Four ways to name the person behind a masked face, given clear pictures of all the people it may be.

McPherson, Shokri and Shmatikov (2016, 1609.00408) train on masked pictures; Newton, Sweeney and Malin (2005) named the
parrot attack, which masks the gallery as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.types import F32, U8

FOLDS = 5
DETAIL_PX = 24  # side to which chips are scaled for the regression: its pixels are finer than the cells of any mosaic
RIDGE = 0.03  # weight of the penalty, as a share of the mean of the kernel's diagonal

ATTACKS = {
    "a": "compared as it is",
    "b": "gallery masked the same way",
    "c": "track averaged, gallery likewise",
    "d": "ridge regression learns the mask",
}

Ranks = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the attackers know of N faces; the last axis of embeddings is D."""

    persons: tuple[str, ...]  # N
    clear: F32  # (N, D) embeddings of the clear faces
    masked: F32  # (N, D) of one masked frame of each
    averaged: F32  # (N, D) of the mean of several masked frames of each
    frames: U8  # (N, F, H, W, 3) the masked chips


def ranks(evidence: Evidence) -> dict[str, Ranks]:
    """For each attack the rank (N,) of each face's own person, as by `ranked`; everybody has two faces or more."""
    everyone = np.array(evidence.persons)
    return {
        "a": ranked(evidence.masked, evidence.clear, everyone),
        "b": ranked(evidence.masked, evidence.masked, everyone),
        "c": ranked(evidence.averaged, evidence.averaged, everyone),
        "d": ranked(restored(evidence), evidence.clear, everyone),
    }


def ranked(probes: F32, gallery: F32, everyone: NDArray[np.str_]) -> Ranks:
    """The rank (N,) of each probe's own person among all people, 0 the best, by their nearest picture in the gallery.

    The probe's own picture is left out, and of everybody else one picture in turn. Else all others would have one more
    picture than the right person and be named too often, also by guessing, which attacks are compared with.
    """
    apart = np.linalg.norm(probes[:, None] - gallery[None], axis=2)
    names, numbers = np.unique(everyone), np.arange(len(everyone))
    nearest = np.empty((len(probes), len(names)))
    for column, name in enumerate(names):
        own = np.flatnonzero(everyone == name)
        left_out = own[numbers % len(own)]
        left_out[own] = own
        known = apart[:, own].copy()
        known[left_out[:, None] == own] = np.inf
        nearest[:, column] = known.min(axis=1)
    order = np.argsort(nearest, axis=1, kind="stable")  # ties by name, so that always naming the same person is chance
    places: Ranks = (order == np.searchsorted(names, everyone)[:, None]).argmax(axis=1)
    return places


def restored(evidence: Evidence) -> F32:
    """Clear embeddings (N, D) guessed from masked chips by kernel ridge regression, fitted on the other folds."""
    guessed = np.zeros_like(evidence.clear)
    folds = folds_of(evidence.persons)
    details = np.stack([[_details(chip) for chip in frames] for frames in evidence.frames])  # (N, F, features)
    per_face = details.shape[1]
    for fold in range(FOLDS):
        known, probes = folds != fold, folds == fold
        if not probes.any():
            continue
        inputs = details[known].reshape(-1, details.shape[2])
        mean = inputs.mean(axis=0)
        target = evidence.clear[known]
        centre = target.mean(axis=0)
        outputs = np.repeat(target - centre, per_face, axis=0)
        inputs = inputs - mean
        kernel = inputs @ inputs.T
        kernel[np.diag_indices_from(kernel)] += RIDGE * np.trace(kernel) / len(kernel) + 1e-6
        weights = np.linalg.solve(kernel, outputs)
        probe = details[probes].mean(axis=1) - mean
        guessed[probes] = probe @ inputs.T @ weights + centre
    return guessed.astype(np.float32)


def folds_of(persons: Sequence[str]) -> NDArray[np.intp]:
    """The fold (N,) of each face; the faces of a person go to the folds in turn."""
    seen: dict[str, int] = {}
    folds = np.zeros(len(persons), np.intp)
    for index, person in enumerate(persons):
        folds[index] = seen.get(person, 0) % FOLDS
        seen[person] = seen.get(person, 0) + 1
    return folds


def _details(chip: U8) -> F32:
    small = cv2.resize(chip, (DETAIL_PX, DETAIL_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32).reshape(-1) / np.float32(255)
