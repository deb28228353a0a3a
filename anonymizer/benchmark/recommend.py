"""Chooses a configuration from measured costs, or says that the device cannot do what is asked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from anonymizer.pipeline.tempo import Patience, Tempo
from anonymizer.settings.schema import LOOKS_PER_S, Preset
from anonymizer.types import Size, Target

HEADROOM = 0.8  # of all cores: the rest is for the system, viewers and hot summer days
KEEPS_UP = 0.9  # of the inference thread's time
RATES_FPS = (60, 50, 30, 25, 20, 15, 12, 10, 8, 6, 5)  # below 5 a second people walk through between two pictures
RATES_OF_LOOKS = (None, 6, 5, 4, 3)  # a second at each camera, None: as shipped; fewer make masks wider
ENOUGH_LOOKS_PER_S = 3.0  # from here on finding smaller faces is worth more than more looks, which cannot find them
FAR_PX = 1000  # taken for the smallest face of a model whose limit was not measured
PRESETS = (Preset.VERYFAST, Preset.SUPERFAST, Preset.ULTRAFAST)  # fewest bytes first

_PRECISIONS = ("int8", "float16", "float32")
_NARROWER = "slim"  # in the name of a copy with fewer channels


@dataclass(frozen=True, slots=True)
class DetectCost:
    """One model on one frame, from planes to boxes."""

    model: str
    target: Target
    precision: str
    threads: int
    wall_ms: float
    cpu_ms: float
    tiles: int = 0  # looked at besides the whole frame
    reach_px: int | None = None  # height in the frame of the smallest face that is found; None: not known, or persons
    input_px: int = 0  # that the model looks at


@dataclass(frozen=True, slots=True)
class Device:
    """What was measured."""

    cores: int
    models: tuple[DetectCost, ...]  # those that may be chosen
    frame_ms: float  # CPU time of one frame outside models and encoder
    encode_ms: Mapping[Preset, float]  # CPU time of one frame


@dataclass(frozen=True, slots=True)
class Wish:
    """What the device is to do."""

    cameras: int
    size: Size
    fps: float
    patience: Patience  # how rare and slow looks may be before pictures are left out


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration and what it means."""

    face_model: str
    person_model: str
    threads: int
    fps: float
    preset: Preset
    detections_per_s: float  # of each camera
    wait_ms: float  # longest until the detections of a frame are there
    cores: float  # that will be busy
    tiles: int = 0  # of each frame
    reach_px: int | None = None  # height of the smallest face that is found; None: not known
    person_px: int = 0  # pixels that the person model looks at
    looks_per_s: float | None = None  # `track.looks_per_s`; None: as shipped


@dataclass(frozen=True, slots=True)
class Advice:
    """A plan for so many cameras, maybe fewer than asked for; None if not even one works at the lowest rate."""

    cameras: int
    plan: Plan | None
    obstacle: str = ""  # why there is no plan, and what would help


def recommend(device: Device, wish: Wish) -> Advice:
    """The best plan for all cameras; failing that, for as many as possible.

    The order of preference: a higher picture rate, ENOUGH_LOOKS_PER_S, smaller faces, smaller persons, more looks,
    fewer bytes, less CPU.
    """
    for cameras in range(wish.cameras, 0, -1):
        plans = [plan for plan in _plans(device, wish, cameras) if _fits(plan, device, wish)]
        if plans:
            return Advice(cameras, max(plans, key=_worth))
    return Advice(0, None, _obstacle(device, wish))


def _obstacle(device: Device, wish: Wish) -> str:
    round_ms = min((face.wall_ms + person.wall_ms for face, person in _pairs(device.models)), default=None)
    if round_ms is None:
        return "no face model and person model run here; the table says why"
    if round_ms > wish.patience.longest_look_ms:
        return (
            f"its models take {round_ms:.0f} ms a picture, and these settings allow "
            f"{wish.patience.longest_look_ms:.0f}: choose faster models, or raise privacy.max_detection_age_ms and, "
            "if the mode is live, max_wait_ms"
        )
    return "it is too busy with one camera at 5 pictures a second: choose smaller pictures"


def _worth(plan: Plan) -> tuple[float, ...]:
    """Larger is better. Looks are rounded to tenths of the frames: fewer more would not be worth the CPU."""
    reach_px = FAR_PX if plan.reach_px is None else plan.reach_px
    enough = min(round(plan.detections_per_s, 1), ENOUGH_LOOKS_PER_S)
    detections = round(plan.detections_per_s / plan.fps, 1)
    return (plan.fps, enough, -reach_px, plan.person_px, detections, -PRESETS.index(plan.preset), -plan.cores)


def _fits(plan: Plan, device: Device, wish: Wish) -> bool:
    looks = Tempo(1000 / plan.detections_per_s, plan.wait_ms)
    return plan.cores <= HEADROOM * device.cores and wish.patience.suffices(looks)


def _plans(device: Device, wish: Wish, cameras: int) -> Iterator[Plan]:
    rates = [wish.fps, *(rate for rate in RATES_FPS if rate < wish.fps)]
    for face, person in _pairs(device.models):
        round_ms = face.wall_ms + person.wall_ms  # one thread serves all cameras, both models on each frame
        for fps, looks_per_s in itertools.product(rates, RATES_OF_LOOKS):
            frames_per_s = cameras * fps
            asked_per_s = cameras * min(fps, looks_per_s or LOOKS_PER_S)
            detections_per_s = min(asked_per_s, 1000 / round_ms)
            keeps_up = asked_per_s * round_ms <= KEEPS_UP * 1000
            if not (keeps_up or looks_per_s is None):
                continue
            for preset, encode_ms in device.encode_ms.items():
                busy_ms = frames_per_s * (device.frame_ms + encode_ms)
                busy_ms += detections_per_s * (face.cpu_ms + person.cpu_ms)
                yield Plan(
                    face.model,
                    person.model,
                    face.threads,
                    fps,
                    preset,
                    detections_per_s=detections_per_s / cameras,
                    wait_ms=round_ms * cameras,
                    cores=busy_ms / 1000,
                    tiles=face.tiles,
                    reach_px=face.reach_px,
                    person_px=person.input_px,
                    looks_per_s=looks_per_s,
                )


def _pairs(models: Sequence[DetectCost]) -> Iterator[tuple[DetectCost, DetectCost]]:
    """Pairs of a face and a person model with the same number of threads, because the settings have only one."""
    for face in models:
        for person in models:
            if (face.target, person.target) == (Target.FACE, Target.PERSON) and face.threads == person.threads:
                yield face, person


def siblings(name: str, models: Sequence[DetectCost]) -> tuple[DetectCost, ...]:
    """The costs of a model in all its widths, input sizes and precisions, which are the last words of its name."""
    return tuple(cost for cost in models if _stem(cost.model) == _stem(name))


def _stem(name: str) -> str:
    *words, last = name.split("-")
    if words and last in _PRECISIONS:
        *words, last = words
    if words and last.isdigit():
        *words, last = words
    return "-".join(words if words and last == _NARROWER else (*words, last))
