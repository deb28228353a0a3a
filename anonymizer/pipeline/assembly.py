"""Puts the core of a camera together from its settings, the same way for the daemon, benchmark and evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from anonymizer.clock import Clock
from anonymizer.pipeline.camera import CameraCore
from anonymizer.pipeline.governor import Governor
from anonymizer.pipeline.looks import Looks
from anonymizer.pipeline.recognition import Recognition
from anonymizer.pipeline.status import StatusCell
from anonymizer.pipeline.tempo import Patience
from anonymizer.pipeline.view import View
from anonymizer.policy import Permit, Policy
from anonymizer.policy.alarms import Alarms
from anonymizer.policy.stillness import Stillness
from anonymizer.policy.viewpoint import Viewpoint
from anonymizer.policy.vigil import Vigil
from anonymizer.ports import FrameSink, Meter
from anonymizer.rate import RateLimit
from anonymizer.redact.redactor import Redactor
from anonymizer.settings.schema import (
    EVERY_PICTURE,
    LOOKS_PER_S,
    Mode,
    PrivacySettings,
    RedactSettings,
    TrackSettings,
    masks_by_shape,
)
from anonymizer.track.camera_motion import CameraMotion
from anonymizer.track.hindsight import Hindsight
from anonymizer.track.pursuit import Pursuit
from anonymizer.track.tracker import Tracker
from anonymizer.types import Frame

_MS = 1_000_000  # nanoseconds


def looks_per_s(
    privacy: PrivacySettings, redact: RedactSettings, track: TrackSettings, *, may_show: bool
) -> float | None:
    """How often the models look at a camera; None: at every picture.

    Fewer looks only make masks wider; but whom nobody looks at cannot show by name (`may_show`) or by shape.
    """
    if track.looks_per_s is not None:
        return track.looks_per_s
    return None if _shows_by_looks(privacy, redact, may_show=may_show) else LOOKS_PER_S


def _shows_by_looks(privacy: PrivacySettings, redact: RedactSettings, *, may_show: bool) -> bool:
    """Whether a look is what lets somebody show, by name or by shape."""
    return may_show or masks_by_shape(privacy, redact)


def longest_rest_ms(privacy: PrivacySettings, track: TrackSettings) -> float | None:
    """Time between two looks at a view that stands still; None: it is looked at as often as any.

    Whoever comes unnoticed is found by the next look, which must still be in time to mask him in the frames before it;
    mode `strict` leaves nothing to that.
    """
    if track.quiet_looks_per_s >= EVERY_PICTURE:
        return None
    rest_ms = 1000 / track.quiet_looks_per_s
    in_time_ms = min(privacy.effective_lookahead_ms, 2 * Patience.of(privacy).calm_ms)
    return None if privacy.mode is Mode.STRICT or rest_ms > in_time_ms else rest_ms


def make_core(
    camera_id: str,
    privacy: PrivacySettings,
    redact: RedactSettings,
    track: TrackSettings,
    *,
    submit: Callable[[Frame], None],
    sinks: Sequence[FrameSink],
    meter: Meter,
    clock: Clock,
    status: StatusCell,
    permit: Permit | None = None,
) -> CameraCore:
    """A core whose frames go to the detector through `submit` and, once redacted, to all `sinks`.

    `permit` says who may stay visible, None: nobody.
    """
    is_strict = privacy.mode is Mode.STRICT
    remembered_ms = privacy.hold_ms + privacy.effective_lookahead_ms + privacy.max_wait_ms
    hindsight = Hindsight(span_ns=remembered_ms * _MS)
    may_show = permit is not None
    rate = RateLimit(looks_per_s(privacy, redact, track, may_show=may_show))
    rest_ms = longest_rest_ms(privacy, track)
    stillness = None if rest_ms is None else Stillness(round(rest_ms * _MS))
    return CameraCore(
        camera_id,
        submit=submit,
        looks=Looks(
            camera_id,
            rate,
            stillness,
            meter,
            high_score=track.high_score,
            rests_beside_people=not _shows_by_looks(privacy, redact, may_show=may_show),
        ),
        tracker=Tracker(track, hold_ns=privacy.hold_ms * _MS),
        hindsight=hindsight,
        pursuit=None if is_strict else Pursuit(hindsight, tail_ns=privacy.tail_ms * _MS),
        policy=Policy(privacy, redact),
        governor=Governor(max_age_ns=privacy.max_detection_age_ms * _MS, max_lag_ns=privacy.max_wait_ms * _MS),
        view=View(camera_id, Viewpoint(), CameraMotion()),
        vigil=Vigil() if is_strict else None,
        alarms=Alarms(hold_ns=privacy.hold_ms * _MS) if is_strict else None,
        recognition=Recognition(camera_id, permit, meter),
        redactor=Redactor(redact),
        sinks=sinks,
        meter=meter,
        clock=clock,
        status=status,
        lookahead_ns=privacy.effective_lookahead_ms * _MS,
        max_wait_ns=privacy.max_wait_ms * _MS,
    )
