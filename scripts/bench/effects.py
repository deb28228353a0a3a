"""CPU-ms that each effect costs for 50 regions in a 1080p frame, the copy of the frame included; one core.

    .venv/bin/python scripts/bench/effects.py [--regions 50] [--rounds 40]

The picture is noise, which no effect finds easier than a street. Regions lie anywhere; their sides vary by 30 %. The
median of the rounds counts, each timed by the CPU time of its thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import cv2
import numpy as np

from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import RedactSettings
from anonymizer.types import Effect, Frame, Planes, Reason, RedactionPlan, Region, Shape, Size

SIZE = Size(1920, 1080)
REGION_SIZES = (Size(32, 40), Size(100, 120))
LOOKS = {
    "fill": (Effect.FILL, {}),
    "fill, surround": (Effect.FILL, {"fill_colour": "surround"}),
    "mosaic": (Effect.MOSAIC, {}),
    "mosaic, frozen": (Effect.MOSAIC, {"mosaic_frozen": True}),
    "blur": (Effect.BLUR, {}),
    "noise": (Effect.NOISE, {}),
    "image": (Effect.IMAGE, {}),
    "mosaic, soft edge of 8 px": (Effect.MOSAIC, {"soft_edge_px": 8}),
}


def noisy_frame(rng: np.random.Generator) -> Frame:
    """A frame in which every pixel is random."""
    planes = [rng.integers(0, 256, (SIZE.height // n, SIZE.width // n), dtype=np.uint8) for n in (1, 2, 2)]
    return Frame("bench", 0, epoch=0, pts_ns=0, captured_ns=0, wall_ns=0, planes=Planes(*planes))


def logo() -> bytes:
    """A picture file with a transparent border."""
    pixels = np.zeros((256, 256, 4), np.uint8)
    cv2.circle(pixels, (128, 128), 120, (0, 200, 255, 255), -1)
    return bytes(cv2.imencode(".png", pixels)[1])


def scattered(rng: np.random.Generator, count: int, size: Size, effect: Effect, shape: Shape) -> tuple[Region, ...]:
    """Regions of about a size."""
    regions = []
    for number in range(count):
        width, height = rng.uniform(0.7, 1.3, 2) * (size.width, size.height)
        x, y = rng.uniform(0, SIZE.width - width), rng.uniform(0, SIZE.height - height)
        box = (x, y, x + width, y + height)
        regions.append(Region(box, shape, effect, Reason.DETECTION, track_id=number))
    return tuple(regions)


def cost_ms(redactor: Redactor, frame: Frame, plan: RedactionPlan, rounds: int) -> float:
    """Median CPU time of redacting one frame."""
    spent = []
    for _ in range(rounds):
        began_ns = time.thread_time_ns()
        redactor.redact(frame, plan)
        spent.append(time.thread_time_ns() - began_ns)
    return statistics.median(spent) / 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    frame = noisy_frame(np.random.default_rng(1))
    cases = [(size, shape) for size in REGION_SIZES for shape in Shape]
    print(f"{options.regions} regions in {SIZE}, CPU-ms a frame")
    print(f"{'':26s}" + "".join(f"{f'{size} {shape}':>18s}" for size, shape in cases))
    for name, (effect, look) in LOOKS.items():
        redactor = Redactor(RedactSettings(image=logo(), **look))
        costs = []
        for size, shape in cases:
            regions = scattered(np.random.default_rng(0), options.regions, size, effect, shape)
            costs.append(cost_ms(redactor, frame, RedactionPlan(0, regions), options.rounds))
        print(f"{name:26s}" + "".join(f"{cost:18.2f}" for cost in costs))


if __name__ == "__main__":
    main()
