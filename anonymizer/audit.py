"""Puts the audit of published pictures together: its model, its thread and the web address that is told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

from anonymizer.capture.key_picture import read_key_picture
from anonymizer.clock import Clock
from anonymizer.detectors import make_detector
from anonymizer.errors import ModelError
from anonymizer.lifecycle import Resource
from anonymizer.observe.webhook import Webhook
from anonymizer.pipeline.auditing import Auditor, AuditTap
from anonymizer.ports import Detector, Meter, PacketSink
from anonymizer.settings.schema import DelegateName, Settings, TargetName
from anonymizer.types import AuditFinding
from anonymizer.zoo import Zoo


class Audit(Resource):
    """The auditor of all cameras, with the model and the web address of the settings."""

    def __init__(self, settings: Settings, *, clock: Clock, meter: Meter) -> None:
        url = settings.audit.webhook_url
        self._webhook = None if url is None else Webhook(url.get_secret_value(), meter)
        make = partial(make_auditing_detector, settings, clock=clock, meter=meter)
        tell = [] if self._webhook is None else [self._webhook.send]
        self._auditor = Auditor(
            make, read_key_picture, tell, interval_s=settings.audit.interval_s, meter=meter, clock=clock
        )

    def start(self) -> None:
        """Start the threads."""
        if self._webhook is not None:
            self._webhook.start()
        self._auditor.start()

    def close(self) -> None:
        """Stop them; idempotent."""
        self._auditor.close()
        if self._webhook is not None:
            self._webhook.close()

    def tap(self, packets: PacketSink, on_finding: Callable[[AuditFinding], None]) -> AuditTap:
        """The sink of one camera's packets and redacted frames, through which the audit sees them."""
        return self._auditor.tap(packets, on_finding)


def make_auditing_detector(settings: Settings, *, clock: Clock, meter: Meter) -> Detector:
    """The audit's detector, not started, on the CPU, because the accelerator belongs to the pipeline.

    Raises ModelError.
    """
    detect = settings.detect.model_copy(
        update={
            "face_model": settings.audit.model,
            "face_threshold": settings.audit.threshold,
            "threads": 1,
            "delegate": DelegateName.XNNPACK,
            "delegate_library": None,
            "delegate_options": {},
        }
    )
    return make_detector(detect, frozenset({TargetName.FACE}), is_flat=True, clock=clock, meter=meter)


def same_eyes(settings: Settings) -> Iterator[str]:
    """A sentence if the audit's model is of the same origin as the pipeline's; whoever loads them reports bad ones."""
    if not settings.audit.enabled:
        return
    with contextlib.suppress(ModelError):
        detectors = Zoo(settings.detect.models_dir).detectors
        face, second = (detectors.spec(name) for name in (settings.detect.face_model, settings.audit.model))
        if face.path == second.path or (face.card is not None and face.card == second.card):
            yield (
                f"audit.model {second.name} is of the same origin as detect.face_model {face.name}, and overlooks whom "
                "that overlooks: set audit.model to one with another card in models/README.md"
            )
