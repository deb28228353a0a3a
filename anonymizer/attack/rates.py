"""How often the right person is named, with confidence intervals, compared with chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Z_95 = 1.959964  # of the normal distribution, two-sided 95 %


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its 95 % interval; all 0-1."""

    share: float
    low: float
    high: float

    def is_chance(self, chance: float) -> bool:
        """Whether the rate is not shown to be better than chance, at 95 %."""
        return self.low <= chance


def rate(named: Sequence[bool], persons: Sequence[str]) -> Rate:
    """The mean over persons of the share of their probes that are named right; always naming one person is chance.

    The interval is Wilson's (1927), for the number of probes with which a plain share would have the same variance.
    """
    counts = Counter(persons)
    hits = Counter(person for person, hit in zip(persons, named, strict=True) if hit)
    share = float(np.mean([hits[person] / count for person, count in counts.items()]))
    probes = len(counts) ** 2 / sum(1 / count for count in counts.values())
    middle = share + Z_95**2 / (2 * probes)
    spread = Z_95 * np.sqrt(share * (1 - share) / probes + Z_95**2 / (4 * probes**2))
    total = 1 + Z_95**2 / probes
    return Rate(share, float(max((middle - spread) / total, 0)), float(min((middle + spread) / total, 1)))
