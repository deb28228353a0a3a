"""All live tracks of one camera as parallel arrays, packed so that a selection is a few array operations."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anonymizer.track.kalman import Belief
from anonymizer.types import F32, I32

I64 = NDArray[np.int64]
Index = NDArray[np.intp] | NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """N tracks."""

    counts: I64  # (4, N): id, target, hits, nanoseconds unseen
    rated: F32  # (2, N): score of the newest detection, highest score so far
    belief: Belief

    @classmethod
    def newborn(cls, ids: I64, targets: I32, scores: F32, belief: Belief) -> Population:
        """Tracks with one detection each."""
        count = len(ids)
        counts = np.stack([ids, targets.astype(np.int64), np.ones(count, np.int64), np.zeros(count, np.int64)])
        return cls(counts, np.stack([scores, scores]), belief)

    @property
    def ids(self) -> I64:
        """(N,)."""
        row: I64 = self.counts[0]
        return row

    @property
    def targets(self) -> I64:
        """(N,) values of Target."""
        row: I64 = self.counts[1]
        return row

    @property
    def hits(self) -> I64:
        """(N,) detections so far."""
        row: I64 = self.counts[2]
        return row

    @property
    def unseen_ns(self) -> I64:
        """(N,) time since the newest detection."""
        row: I64 = self.counts[3]
        return row

    @property
    def scores(self) -> F32:
        """(N,) of the newest detection."""
        row: F32 = self.rated[0]
        return row

    @property
    def best(self) -> F32:
        """(N,) highest score so far."""
        row: F32 = self.rated[1]
        return row

    def __len__(self) -> int:
        return int(self.counts.shape[1])

    def take(self, index: Index) -> Population:
        """The tracks of an index or boolean array."""
        return Population(self.counts[:, index], self.rated[:, index], self.belief.take(index))

    def joined(self, *others: Population) -> Population:
        """These tracks and those of the others."""
        parts = [part for part in (self, *others) if len(part)]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return self
        return Population(
            np.concatenate([part.counts for part in parts], axis=1),
            np.concatenate([part.rated for part in parts], axis=1),
            parts[0].belief.joined(*(part.belief for part in parts[1:])),
        )

    def unseen_for(self, unseen_ns: I64) -> Population:
        """The same tracks, unseen for so long (N,)."""
        counts = self.counts.copy()
        counts[3] = unseen_ns
        return replace(self, counts=counts)

    def renamed(self, ids: I64) -> Population:
        """The same tracks under other ids (N,)."""
        counts = self.counts.copy()
        counts[0] = ids
        return replace(self, counts=counts)

    def seen(self, scores: F32, belief: Belief) -> Population:
        """The same tracks after one more detection each, with scores (N,)."""
        counts = self.counts.copy()
        counts[2] += 1
        counts[3] = 0
        return Population(counts, np.stack([scores, np.maximum(self.best, scores)]), belief)
