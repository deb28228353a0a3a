"""Who stays bare in the dark, by infrared light and in haze, of labelled pictures that are changed for it.

    nice .venv/bin/python -m scripts.bench.light LABELS [--limit 100] [--model NAME] [--unaided]

Each picture is looked at by itself and masked as in the daemon, without tracks. Light goes before the noise of the
sensor and eight bits, as in a camera whose gain is at its end; haze keeps a fifth of the contrast. The first line is of
the pictures as they are. With --unaided models see pictures as the camera has them: what bringing out what is there
gains, is the difference.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from unittest import mock

import cv2
import numpy as np
from numpy.typing import NDArray

from anonymizer.benchmark.stages import quiet_meter
from anonymizer.detect.daylight import bring_out
from anonymizer.evaluate.command import CURVE_FLOOR, CURVE_LIMIT
from anonymizer.evaluate.dataset import Dataset, open_dataset
from anonymizer.evaluate.report import text_table
from anonymizer.evaluate.sample import Sample
from anonymizer.evaluate.scores import Scores, sum_up
from anonymizer.evaluate.trial import try_detector
from anonymizer.policy import Policy
from anonymizer.ports import Detector
from anonymizer.settings.schema import DetectSettings, Settings, TargetName
from anonymizer.studio import RehearsalStudio
from anonymizer.types import F32, U8
from anonymizer.zoo import Zoo

NOISE = 1.5  # one sigma in levels
Levels = NDArray[np.floating[Any]]
Change = Callable[[F32], Levels]


def half_dark(picture: F32) -> Levels:
    """From a tenth of the light on the left to all of it on the right."""
    light = 0.1 + 0.9 / (1 + np.exp(-np.linspace(-8, 8, picture.shape[1])))
    return picture * light[None, :, None]


def grey(picture: F32) -> Levels:
    """Without colour, as at night by infrared light."""
    return np.repeat(picture @ np.array([[0.114], [0.587], [0.299]], np.float32), 3, axis=2)


CHANGES: dict[str, Change] = {
    "grey": grey,
    "a quarter of the light": lambda picture: picture / 4,
    "an eighth": lambda picture: picture / 8,
    "a sixteenth": lambda picture: picture / 16,
    "dark on one side": half_dark,
    "grey haze": lambda picture: picture / 5 + 100,
    "bright haze": lambda picture: picture / 5 + 195,
}


@dataclass(frozen=True)
class Changed:
    """Loads a picture and changes it; the same for the same picture."""

    sample: Sample
    change: Change

    def __call__(self) -> U8:
        """(H, W, 3) BGR."""
        picture = self.change(self.sample.load().astype(np.float32))
        noise = np.random.default_rng(len(self.sample.boxes)).normal(0, NOISE, (*picture.shape[:2], 1))
        return cast(U8, np.clip(picture + noise, 0, 255).astype(np.uint8))


def scores_of(name: str, dataset: Dataset, detectors: tuple[Detector, Detector], threshold: float) -> Scores:
    """Of detectors that mask and that draw the curve; started."""
    settings = Settings()
    privacy = settings.privacy.model_copy(update={"targets": (TargetName[dataset.target.name],)})
    policy = Policy(privacy, settings.redact)
    trials = tuple(try_detector(dataset, *detectors, policy, cpu_ns=time.process_time_ns))
    return sum_up(name, dataset.target, trials, threshold)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, help="with one target, as `anonymizer evaluate detect` reads them")
    parser.add_argument("--limit", type=int, default=100, help="pictures")
    parser.add_argument("--model", help="of the zoo; the default is that of the settings")
    parser.add_argument("--unaided", action="store_true", help="bring out nothing for the model")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    dataset = open_dataset(options.labels).spread(options.limit)
    kind = dataset.target.name.lower()
    model = options.model or getattr(DetectSettings(), f"{kind}_model")
    threshold = Zoo().detectors.spec(model).threshold
    studio = RehearsalStudio(quiet_meter())

    def detector(least: float, most: int) -> Detector:
        chosen = {f"{kind}_model": model, f"{kind}_threshold": least, "max_detections": most}
        settings = Settings(detect=DetectSettings.model_validate(chosen))
        return studio.detector(settings, dataset.target, strict=False)

    aid = bring_out if not options.unaided else lambda *_: None
    masking, curve = detector(threshold, DetectSettings().max_detections), detector(CURVE_FLOOR, CURVE_LIMIT)
    with (
        contextlib.closing(masking),
        contextlib.closing(curve),
        mock.patch("anonymizer.detect.detector.bring_out", aid),
    ):
        masking.start()
        curve.start()
        rows = [scores_of(model, dataset, (masking, curve), threshold)]
        for name, change in CHANGES.items():
            changed = tuple(replace(sample, load=Changed(sample, change)) for sample in dataset.samples)
            rows.append(scores_of(name, replace(dataset, samples=changed), (masking, curve), threshold))
    print(text_table(rows))


if __name__ == "__main__":
    main()
