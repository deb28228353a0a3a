"""Labels pictures with detectors, beside the labels that they have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anonymizer.geometry import iou_matrix
from anonymizer.ports import Detector
from scripts.train.datasets.from_clip import CLASSES, as_frame
from scripts.train.datasets.training_set import TrainingSet, joined

_SAME_IOU = 0.5


def label_pictures(data: TrainingSet, detector: Detector, *, sure: float = 0.5) -> TrainingSet:
    """The pictures with what they had and what the started detector finds besides, doubtful boxes as ignored.

    A found box that covers a labelled one of its class is left out: a human's label counts more.
    Raises DatasetError, ModelError.
    """
    known = joined([data, TrainingSet(CLASSES, ())])
    number = np.array([known.classes.index(name) for name in CLASSES], np.int32)
    samples = []
    for at, sample in enumerate(known.samples):
        found = detector.detect(as_frame(sample.load().image, at))
        class_ids = number[found.class_ids]
        same = iou_matrix(found.boxes, sample.boxes) > _SAME_IOU
        fresh = ~(same & (class_ids[:, None] == sample.class_ids)).any(axis=1)
        samples.append(
            replace(
                sample,
                boxes=np.concatenate([sample.boxes, found.boxes[fresh]]),
                class_ids=np.concatenate([sample.class_ids, class_ids[fresh]]),
                ignore=np.concatenate([sample.ignore, found.scores[fresh] < sure]),
            )
        )
    return TrainingSet(known.classes, tuple(samples))
