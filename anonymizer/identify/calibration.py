"""From how small a share of strangers may be taken for somebody to how near a face must be to them.

The table was printed by `scripts.bench.false_accepts`, see there for how strangers were found: one photo a person, each
vote for itself. Votes about one face are not independent of each other, so that more of them do not multiply the rates.
"""

from __future__ import annotations

import numpy as np

MODEL = "dlib-resnet-int8"  # of whose embeddings the distances are
RATES = (0.00001, 0.0001, 0.001, 0.01)
DISTANCES = (0.28, 0.31, 0.33, 0.37)
OTHER_DISTANCE = 0.42


def distance_at(rate: float) -> float:
    """The distance within which strangers fall at this rate, 0.00001 to 0.01, for embeddings of length 1."""
    return float(np.interp(np.log10(rate), np.log10(RATES), DISTANCES))
