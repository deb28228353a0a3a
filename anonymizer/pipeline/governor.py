"""How far one camera degrades under load: wider masks first, then fewer frames; never less coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

STRIDES = (1, 1, 2, 4, 8)  # of so many frames one is shown, by level; from level 1 on masks widen with age
GROWTH_A_SECOND = 1.0  # of a box, on each side, for every second between a frame and the nearest detection
LONGEST_GAP_NS = 500_000_000  # between two shown frames, unless the camera itself is slower

WIDER, FEWER = 0.45, 0.85  # of the age allowed: from there on masks widen with it, and frames are left out
_LATE = 0.55  # of the lag allowed: either
_LEAST_LAG_NS = 100_000_000  # allowed: frames wait for the camera's thread while it is at one or two others
_CALM = 0.8  # of these: below that more frames are shown again
_CALM_NARROW = 0.95  # and masks are narrow again: three looks a second leave frames as far as 0.93 of WIDER from one
_HEAVY_SHARE, _CALM_SHARE = 0.1, 0.05  # of the frames: so many above the one say step up, so few above the other down
_LOOK_NS = 1_000_000_000  # between two decisions
_PATIENCE = 5  # calm decisions in a row before a step down; doubled after every relapse
_MOST_PATIENCE = 60
_RELAPSE = 10  # decisions; a step up so soon after a step down is one


def told(level: int) -> str:
    """What a level means, for people who read logs."""
    if level == 0:
        return "the models keep up again: every picture is shown"
    if STRIDES[level] == 1:
        return "the models are behind: masks are wider"
    return (
        f"the models are behind: masks are wider, and one picture of {STRIDES[level]} is shown; "
        "`anonymizer check` tells whether they are too slow for this device"
    )


class _Pressure(NamedTuple):
    """On one frame, as shares of what is allowed."""

    age: float  # distance to the nearest detection
    lag: float  # how late it came to the camera's thread

    def at(self, level: int) -> float:
        """How much speaks for the step up from a level; 1: enough."""
        return max(self.age / (WIDER if STRIDES[level + 1] == 1 else FEWER), self.lag / _LATE)


class Governor:
    """Levels 0 (all is well) to 4, one step at a time; pure, time is an argument.

    The pressure on a frame is the distance to its nearest detection, or how late it came to the camera's thread,
    whichever is more of what is allowed. Fewer frames make no detection younger, they only leave the detector more of
    the CPU: old ones widen masks long before they cost frames. Steps up are decided by the frames that are shown, for
    these must be good; steps down by all frames, for all would be shown again: so leaving frames out does not look like
    recovery. Detections that pass frames over are no pressure as long as the others are near enough.
    """

    def __init__(self, max_age_ns: int, max_lag_ns: int) -> None:
        """`max_age_ns` is where the policy masks whole frames; `max_lag_ns`, or 100 ms, how late one may come."""
        self._max_age_ns = max(max_age_ns, 1)
        self._max_lag_ns = max(max_lag_ns, _LEAST_LAG_NS)
        self._level = 0
        self._shown_ns: int | None = None
        self._left_out = 0  # since the newest shown frame
        self._decided_ns: int | None = None
        self._shown: list[_Pressure] = []
        self._all: list[_Pressure] = []
        self._calm = 0
        self._patience = _PATIENCE
        self._since_descent = _RELAPSE

    @property
    def level(self) -> int:
        """0: nothing is held back."""
        return self._level

    def growth(self, age_ns: int) -> float:
        """What to add to every box, on each side, in a frame so far from its nearest detection; fraction of the box."""
        return GROWTH_A_SECOND * age_ns / 1e9 if self._level else 0.0

    def shows(self, captured_ns: int, *, is_seen: bool) -> bool:
        """Whether to show the next frame, taken then; prefers those that the detector has looked at itself."""
        stride = STRIDES[self._level]
        is_due = self._left_out + 1 >= stride and (is_seen or stride == 1 or self._left_out + 1 >= 2 * stride)
        is_late = self._shown_ns is None or captured_ns - self._shown_ns >= LONGEST_GAP_NS
        if is_due or is_late:
            self._shown_ns, self._left_out = captured_ns, 0
            return True
        self._left_out += 1
        return False

    def observe(self, *, age_ns: int, lag_ns: int, is_shown: bool, now_ns: int) -> None:
        """Take in how a frame fared; once a second, think about a step."""
        pressure = _Pressure(age_ns / self._max_age_ns, lag_ns / self._max_lag_ns)
        self._all.append(pressure)
        if is_shown:
            self._shown.append(pressure)
        if self._decided_ns is None:
            self._decided_ns = now_ns
        elif now_ns - self._decided_ns >= _LOOK_NS:
            self._decide()
            self._decided_ns = now_ns
            self._shown, self._all = [], []

    def _decide(self) -> None:
        self._since_descent += 1
        up, down = min(self._level, len(STRIDES) - 2), max(self._level - 1, 0)
        calm = _CALM_NARROW if STRIDES[down + 1] == 1 else _CALM
        is_calm = _share_above(calm, [pressure.at(down) for pressure in self._all]) <= _CALM_SHARE
        self._calm = self._calm + 1 if is_calm else 0
        if _share_above(1.0, [pressure.at(up) for pressure in self._shown]) >= _HEAVY_SHARE:
            self._climb()
        elif self._level and self._calm >= self._patience:
            self._level -= 1
            self._calm = self._since_descent = 0

    def _climb(self) -> None:
        if self._since_descent <= _RELAPSE:
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
        elif self._level == 0:
            self._patience = _PATIENCE
        self._level = min(self._level + 1, len(STRIDES) - 1)
        self._since_descent = _RELAPSE


def _share_above(limit: float, pressures: Sequence[float]) -> float:
    return sum(pressure > limit for pressure in pressures) / max(len(pressures), 1)
