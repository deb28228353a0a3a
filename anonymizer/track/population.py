"""All live tracks of one camera as parallel arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymizer.track.kalman import Belief
from anonymizer.types import F32, I32

I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """N tracks; every array has N rows."""

    ids: I64
    targets: I32  # values of Target
    scores: F32  # of the newest detection
    best: F32  # highest score so far
    hits: I64  # detections so far
    unseen_ns: I64
    belief: Belief

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Population:
        """The rows of an index or boolean array."""
        return Population(
            ids=self.ids[index],
            targets=self.targets[index],
            scores=self.scores[index],
            best=self.best[index],
            hits=self.hits[index],
            unseen_ns=self.unseen_ns[index],
            belief=self.belief.take(index),
        )

    def joined(self, other: Population) -> Population:
        """The rows of both."""
        return Population(
            ids=np.concatenate([self.ids, other.ids]),
            targets=np.concatenate([self.targets, other.targets]),
            scores=np.concatenate([self.scores, other.scores]),
            best=np.concatenate([self.best, other.best]),
            hits=np.concatenate([self.hits, other.hits]),
            unseen_ns=np.concatenate([self.unseen_ns, other.unseen_ns]),
            belief=self.belief.joined(other.belief),
        )
