"""Converts a false accept rate into the distance within which a face counts as an enrolled person's.

Estimated by `scripts.bench.false_accepts` on 942 large clear faces of WIDER FACE, 388 of them from the front: each was
enrolled from its one picture and compared with the others, 149,690 pairs of strangers, some of whom look very much
alike to the model (children, women of East Asia) and a few of whom are one person. Those were 60 px high or more; with
all from 56 px on the distances are a little larger (0.227, 0.262, 0.313, 0.363). The rate is that of a single vote;
those about one face depend on each other, so more of them do not multiply it, and more photos add to it.
"""

from __future__ import annotations

import numpy as np

MODEL = "dlib-resnet-int8"  # the distances are between its embeddings
RATES = (0.00001, 0.0001, 0.001, 0.01)
DISTANCES = (0.227, 0.259, 0.312, 0.363)
OTHER_DISTANCE = 0.42  # 93 of 100 strangers are farther away; all 3,120 probes of 11 enrolled people were nearer


def distance_at(rate: float) -> float:
    """The distance between embeddings of length 1 within which strangers fall at this rate, 0.00001 to 0.01."""
    return float(np.interp(np.log10(rate), np.log10(RATES), DISTANCES))
