"""Plays random cameras against the rules for as long as you like.

    nice .venv/bin/python -m scripts.fuzz [--first 0] [--cases 100] [--seconds 600]

Each case is the whole core of a camera, from the frame to the redacted picture, on a simulated clock: any settings,
people who walk, cross and are missed, a detector that is slow, fails and answers twice, a camera that stalls, turns,
reconnects, is damaged or sets its clock. Of each breach the seed is told: `--first SEED --cases 1` plays it again.
Ends with 1 if there was one.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections import Counter

import cv2

from scripts.fuzz.case import make_case
from scripts.fuzz.play import Play
from scripts.fuzz.rules import breaches
from scripts.fuzz.scene import Scene


class _Alarm(logging.Handler):
    """Counts what the core had to catch: every exception is a defect, though it failed closed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.caught: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.caught.append(self.format(record))


def main() -> int:
    """Print breaches as they come, and in the end what was checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=600.0, help="begin no case after that")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    alarm, scene, checked = _Alarm(), Scene(), Counter[str]()
    logger = logging.getLogger("anonymizer")
    logger.addHandler(alarm)
    logger.propagate = False
    until, played, broken = time.monotonic() + options.seconds, 0, 0
    for seed in range(options.first, options.first + options.cases):
        if time.monotonic() > until:
            break
        found = list(breaches(Play(make_case(seed), scene).perform(), checked))
        for breach in found[:3]:
            print(f"seed {seed}, frame {breach.seq}: not so: {breach.rule}. {breach.detail}", flush=True)
        if alarm.caught:
            print(f"seed {seed}: caught {len(alarm.caught)} times: {alarm.caught[0]}", flush=True)
        played, broken = played + 1, broken + bool(found or alarm.caught)
        alarm.caught.clear()
    print(f"{played} cases, {broken} with a breach; checked: {dict(checked)}")
    return min(broken, 1)


if __name__ == "__main__":
    raise SystemExit(main())
