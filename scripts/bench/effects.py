"""CPU-ms that each effect costs for 50 regions in a 1080p frame, the copy of the frame included; one core.

    .venv/bin/python scripts/bench/effects.py [--regions 50] [--rounds 40] [--rank 0.5]

The picture is noise, which no effect finds easier than a street. Regions lie anywhere, in each round elsewhere, so that
caches help as little as they do with people who walk; their sides vary by 30 %. The median of the rounds counts, each
timed by the CPU time of its thread. Neighbours on the same core make that time longer, too: on a busy machine take the
quickest round (`--rank 0`). Last come the copy alone, and what it costs to find out one person's shape for the effect
silhouette.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np

from anonymizer.detect.silhouette import Silhouettist
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import RedactSettings
from anonymizer.silhouettes import MODEL, silhouette_model
from anonymizer.types import Effect, Frame, Planes, Reason, RedactionPlan, Region, Shape, Size
from anonymizer.zoo import Zoo

SIZE = Size(1920, 1080)
REGION_SIZES = (Size(32, 40), Size(100, 120))
LOOKS: dict[str, tuple[Effect, dict[str, Any]]] = {
    "fill": (Effect.FILL, {}),
    "fill, surround": (Effect.FILL, {"fill_colour": "surround"}),
    "mosaic": (Effect.MOSAIC, {}),
    "mosaic, frozen": (Effect.MOSAIC, {"mosaic_frozen": True}),
    "blur": (Effect.BLUR, {}),
    "noise": (Effect.NOISE, {}),
    "image": (Effect.IMAGE, {}),
    "mosaic, soft edge of 8 px": (Effect.MOSAIC, {"soft_edge_px": 8}),
    "silhouette": (Effect.SILHOUETTE, {}),
}
PERSON = (900.0, 300.0, 1060.0, 700.0)
CORNERS = 60  # of a person's outline


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
        outline = jagged(rng, box) if effect is Effect.SILHOUETTE else None
        regions.append(Region(box, shape, effect, Reason.DETECTION, track_id=number, outline=outline))
    return tuple(regions)


def jagged(rng: np.random.Generator, box: tuple[float, float, float, float]) -> tuple[tuple[float, float], ...]:
    """A polygon with as many corners as a person's outline has."""
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    reach = rng.uniform(0.6, 1.0, CORNERS) / 2
    x, y = (box[0] + box[2]) / 2 + reach * np.cos(angles) * (box[2] - box[0]), (box[1] + box[3]) / 2
    return tuple(zip(x.tolist(), (y + reach * np.sin(angles) * (box[3] - box[1])).tolist(), strict=True))


def cost_ms(work: Callable[[int], object], options: argparse.Namespace) -> float:
    """CPU time of some work, which is told the number of the round: that of the round of the rank asked for."""
    spent = []
    for number in range(options.rounds):
        began_ns = time.thread_time_ns()
        work(number)
        spent.append(time.thread_time_ns() - began_ns)
    return float(np.quantile(spent, options.rank)) / 1e6


def shape_ms(frame: Frame, options: argparse.Namespace) -> float:
    """CPU time of one person's shape."""
    model = silhouette_model(Zoo().silhouettes.verify(MODEL))
    with Silhouettist(model, threads=1, meter=PrometheusMeter(version="", runtime="")) as silhouettist:
        return cost_ms(lambda _: silhouettist.outline(frame.planes, frame.colour, PERSON), options)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--rank", type=float, default=0.5, help="which round counts: 0 the quickest, 0.5 the median")
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
            rng = np.random.default_rng(0)
            plans = [
                RedactionPlan(0, scattered(rng, options.regions, size, effect, shape)) for _ in range(options.rounds)
            ]
            costs.append(cost_ms(partial(_redact, redactor, frame, plans), options))
        print(f"{name:26s}" + "".join(f"{cost:18.2f}" for cost in costs))
    nothing = [RedactionPlan(0)] * options.rounds
    print(f"a frame without regions: {cost_ms(partial(_redact, redactor, frame, nothing), options):.2f} CPU-ms")
    print(f"the shape of one person: {shape_ms(frame, options):.1f} CPU-ms")


def _redact(redactor: Redactor, frame: Frame, plans: Sequence[RedactionPlan], number: int) -> None:
    redactor.redact(frame, plans[number])


if __name__ == "__main__":
    main()
