"""Prometheus metrics: the `Meter` of a running daemon, on a registry of its own."""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.process_collector import ProcessCollector

from anonymizer.observe.camera_metrics import CameraMetrics
from anonymizer.types import REGION_REASONS, Doubt, Outcome, Reason, Stage, Target

# The `_created` series nearly double the page, and nobody reads them.
disable_created_metrics()  # type: ignore[no-untyped-call]

_BEGIN, _END = "begin", "end"  # events of staying visible
_DRAWN, _BOX = "drawn", "box"  # masks of persons
_SUSPECT_CAUSES = ("error", "flag", "loss")
WHOLE_FRAME_REASONS = tuple(reason for reason in Reason if reason not in REGION_REASONS)

STAGE_BUCKETS_S = (0.001, 0.002, 0.004, 0.008, 0.016, 0.033, 0.05, 0.066, 0.1, 0.2, 0.5, 1.0, 2.0)
LATENCY_BUCKETS_S = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.125, 0.15, 0.175),
    *(0.2, 0.25, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 1.0, 1.5, 2.0),
)


class PrometheusMeter:
    """Counts everything and renders it in the Prometheus text format; safe from any thread."""

    def __init__(self, *, version: str, runtime: str) -> None:
        """`version` is this program's, `runtime` names the inference runtime and its version."""
        self._registry = registry = CollectorRegistry()
        self._camera_metrics = metrics = CameraMetrics(registry)
        ProcessCollector(registry=registry)
        _info(
            registry,
            "anonymizer_build_info",
            "Always 1; the labels say what is running: compare them between boxes before comparing numbers.",
            version=version,
            python=platform.python_version(),
            runtime=runtime,
            machine=platform.machine(),
        )
        self._models = Gauge(
            "anonymizer_model_info",
            "1 for each model loaded since the start; not the one in the YAML: reload or restart the service.",
            ("model", "precision", "runtime", "delegate"),
            registry=registry,
        )
        self._delegate_fallbacks = Counter(
            "anonymizer_delegate_fallbacks",
            "Models loaded on the CPU because their delegate did not start; any: the log and `check` say why.",
            ("model", "delegate"),
            registry=registry,
        )
        self._frames = metrics.counter(
            "frames",
            "Frames that left a stage; its rate by outcome is the fps. "
            "No rate of stage publish, outcome ok, for 30 s: look at that camera.",
            "stage",
            "outcome",
        )
        self._stage_seconds = metrics.histogram(
            "stage_seconds",
            "Time one frame was worked on in a stage; if the p99 exceeds the frame interval, this is the bottleneck.",
            STAGE_BUCKETS_S,
            "stage",
        )
        self._latency = metrics.histogram(
            "capture_to_publish_seconds",
            "Age of a frame when it is published, the look-ahead included; "
            "alert on p99 over privacy.lookahead_ms and half a second, then look at the stages.",
            LATENCY_BUCKETS_S,
        )
        self._detections = metrics.counter(
            "detections",
            "People and faces found, summed over frames; zero in a busy scene: check the camera.",
            "target",
        )
        self._tracks = metrics.gauge("tracks", "People and faces being followed now.", "target")
        self._whole_frame = metrics.counter(
            "whole_frame_masks",
            "Published frames that were masked whole; safe but useless pictures: the reason says what to repair.",
            "reason",
        )
        self._level = metrics.gauge(
            "governor_level",
            "0: all is well, 1: masks are wider, 2 to 4: of 2, 4 or 8 frames one is published; "
            "above 0 for minutes: too much for this machine, take faster models, fewer or slower cameras.",
        )
        self._spared = metrics.counter(
            "looks_spared",
            "Looks that the models were spared because nothing had moved; none in a quiet hour: something moves, "
            "or somebody is found in one look and not in the next.",
        )
        self._backwards = metrics.counter(
            "frames_masked_backwards",
            "Frames that hide somebody of whom only later frames told; without look-ahead they would have shown.",
        )
        self._gaps = metrics.counter(
            "gaps_bridged",
            "Times that somebody was found again after the detector had missed them; a high rate: use a better model.",
        )
        self._unconfirmed = metrics.counter(
            "unconfirmed_detections_masked",
            "Detections masked before a second one confirmed them; far more than people pass: raise the thresholds.",
        )
        self._attention_failures = metrics.counter(
            "attention_failures",
            "Frames at which the attention model was to look and could not; any: see the log. Mode strict masks them.",
        )
        self._silhouettes = metrics.counter(
            "silhouettes",
            "Persons masked by their shape (drawn), or by their box where no shape was sure; mostly box: people "
            "overlap, are small or cut off, or detect.silhouette_budget_ms is too short.",
            "mask",
        )
        self._kept_visible = metrics.counter(
            "kept_visible",
            "Times that somebody who was recognised began to stay visible, or was masked again; the log says who.",
            "event",
        )
        self._refused = metrics.counter(
            "recognition_refusals",
            "Faces masked in a frame although they have votes for staying visible, or that could not be recognised; "
            "somebody enrolled is masked too often: see the reason.",
            "reason",
        )
        self._suspect = metrics.counter(
            "suspect_frames",
            "Damage seen by the decoder; a steady rate of cause loss points to the network or to UDP: try TCP.",
            "cause",
        )
        self._connected = metrics.gauge("camera_connected", "1 while the camera is connected; alert on 0 for a minute.")
        self._reconnects = metrics.counter(
            "reconnects", "Further attempts to connect; more than a few an hour: check cable, power and camera limits."
        )
        self._dropped = metrics.counter(
            "queue_drops",
            "Things that a full queue threw away; a steady rate means that the reader of that queue is too slow.",
            "queue",
        )
        self._queue_depth = metrics.gauge(
            "queue_depth", "Things waiting in a queue now; always full: too slow.", "queue"
        )
        self._restarts = metrics.counter(
            "stage_restarts",
            "Crashed stages that were started again; any increase deserves a look at the log.",
            "stage",
        )
        self._clients = metrics.gauge("clients", "Clients that read an output now.", "output")
        self._bytes = metrics.counter("sent_bytes", "Bytes handed to an output; its rate is the bandwidth.", "output")
        self._audited = metrics.counter("audited_pictures", "Published pictures that were searched for bare faces.")
        self._findings = metrics.counter(
            "audit_findings",
            "Faces that another model found outside the masks of published pictures; any: look at that camera now.",
        )
        self._audit_failures = metrics.counter(
            "audit_failures", "Published pictures that could not be audited; a steady rate: nobody looks, see the log."
        )
        self._webhook_failures = metrics.counter(
            "audit_webhook_failures", "Findings that audit.webhook_url did not take; any: alarms do not arrive."
        )

    def exposition(self) -> bytes:
        """All metrics in the text format, version 0.0.4."""
        return generate_latest(self._registry)

    def frame(self, camera: str, stage: Stage, outcome: Outcome) -> None:
        """One frame left a stage."""
        self._frames.at(camera, stage, outcome).inc()

    def stage_seconds(self, camera: str, stage: Stage, seconds: float) -> None:
        """Wall time one frame spent being worked on in a stage."""
        self._stage_seconds.at(camera, stage).observe(seconds)

    def latency_seconds(self, camera: str, seconds: float) -> None:
        """The age of one frame when it is published."""
        self._latency.at(camera).observe(seconds)

    def detections(self, camera: str, target: Target, count: int) -> None:
        """The detections in one frame."""
        self._detections.at(camera, _name(target)).inc(count)

    def tracks(self, camera: str, target: Target, count: int) -> None:
        """The tracks that are alive now."""
        self._tracks.at(camera, _name(target)).set(count)

    def whole_frame(self, camera: str, reason: Reason) -> None:
        """One published frame was masked whole."""
        self._whole_frame.at(camera, reason).inc()

    def governor_level(self, camera: str, level: int) -> None:
        """How far the camera degrades under load: 0 not at all, 1 wider masks, 2 and more fewer frames."""
        self._level.at(camera).set(level)

    def look_spared(self, camera: str) -> None:
        """One frame that was due was not shown to the models, because nothing had moved."""
        self._spared.at(camera).inc()

    def masked_backwards(self, camera: str) -> None:
        """One released frame masks somebody who was only found in later frames."""
        self._backwards.at(camera).inc()

    def gaps_bridged(self, camera: str, count: int) -> None:
        """`count` tracks were found again after the detector had missed them."""
        self._gaps.at(camera).inc(count)

    def unconfirmed_masked(self, camera: str, count: int) -> None:
        """One released frame masks `count` detections that no second one has confirmed yet."""
        self._unconfirmed.at(camera).inc(count)

    def suspect(self, camera: str, cause: str) -> None:
        """Damage was seen in a stream; `cause` is error, flag or loss."""
        self._suspect.at(camera, cause).inc()

    def connected(self, camera: str, *, up: bool) -> None:
        """The link to the camera came up or went down."""
        self._connected.at(camera).set(up)

    def reconnect(self, camera: str) -> None:
        """One further attempt to connect."""
        self._reconnects.at(camera).inc()

    def dropped(self, camera: str, queue: str, count: int = 1) -> None:
        """A bounded queue threw something away."""
        self._dropped.at(camera, queue).inc(count)

    def queue_depth(self, camera: str, queue: str, depth: int) -> None:
        """How full a bounded queue is."""
        self._queue_depth.at(camera, queue).set(depth)

    def restart(self, camera: str, stage: Stage) -> None:
        """A crashed stage was started again."""
        self._restarts.at(camera, stage).inc()

    def clients(self, camera: str, output: str, count: int) -> None:
        """How many clients read an output (rtsp, push, mjpeg) now."""
        self._clients.at(camera, output).set(count)

    def bytes_out(self, camera: str, output: str, count: int) -> None:
        """Bytes handed to an output."""
        self._bytes.at(camera, output).inc(count)

    def detector_model(self, model: str, precision: str, runtime: str, delegate: str) -> None:
        """A model was loaded; `delegate` computes it."""
        self._models.labels(model, precision, runtime, delegate).set(1)

    def attention_failed(self, camera: str) -> None:
        """The attention model failed on one frame."""
        self._attention_failures.at(camera).inc()

    def silhouettes(self, camera: str, *, drawn: int, boxes: int) -> None:
        """Of the persons in one frame, `drawn` are masked by their shape and `boxes` by their box."""
        self._silhouettes.at(camera, _DRAWN).inc(drawn)
        self._silhouettes.at(camera, _BOX).inc(boxes)

    def kept_visible(self, camera: str, *, begins: bool) -> None:
        """Somebody who was recognised begins to stay visible, or (`begins` False) is masked again."""
        self._kept_visible.at(camera, _BEGIN if begins else _END).inc()

    def recognition_refused(self, camera: str, doubt: Doubt) -> None:
        """Somebody who might have stayed visible was masked in one frame, or could not be recognised in it."""
        self._refused.at(camera, doubt).inc()

    def delegate_fallback(self, model: str, delegate: str) -> None:
        """A model runs on the CPU, because the delegate asked for did not start."""
        self._delegate_fallbacks.labels(model, delegate).inc()

    def audited(self, camera: str, findings: int) -> None:
        """One published picture was audited; `findings` faces lay outside its masks."""
        self._audited.at(camera).inc()
        self._findings.at(camera).inc(findings)

    def audit_failed(self, camera: str) -> None:
        """One published picture could not be audited."""
        self._audit_failures.at(camera).inc()

    def webhook_failed(self, camera: str) -> None:
        """The audit's web address did not take a finding."""
        self._webhook_failures.at(camera).inc()

    def remember(self, camera: str) -> None:
        """Show the series of a camera of the settings that alerts need, at zero, before anything happens."""
        self._camera_metrics.remember(camera)
        for stage in Stage:
            self._restarts.at(camera, stage)
            for outcome in Outcome:
                self._frames.at(camera, stage, outcome)
        for reason in WHOLE_FRAME_REASONS:
            self._whole_frame.at(camera, reason)
        for cause in _SUSPECT_CAUSES:
            self._suspect.at(camera, cause)
        for mask in (_DRAWN, _BOX):
            self._silhouettes.at(camera, mask)
        for event in (_BEGIN, _END):
            self._kept_visible.at(camera, event)
        for doubt in Doubt:
            self._refused.at(camera, doubt)
        for target in Target:
            self._detections.at(camera, _name(target))
            self._tracks.at(camera, _name(target))
        self._latency.at(camera)
        self._connected.at(camera)
        self._level.at(camera)
        self._reconnects.at(camera)
        for counter in (
            *(self._backwards, self._gaps, self._unconfirmed, self._attention_failures),
            *(self._audited, self._findings, self._audit_failures, self._webhook_failures),
        ):
            counter.at(camera)

    def forget(self, camera: str) -> None:
        """Drop the series of a camera that left the settings, until `remember` names it again."""
        self._camera_metrics.forget(camera)


def _info(registry: CollectorRegistry, name: str, text: str, **labels: str) -> None:
    Gauge(name, text, tuple(labels), registry=registry).labels(**labels).set(1)


def _name(target: Target) -> str:
    return target.name.lower()
