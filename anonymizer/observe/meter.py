"""Prometheus metrics: the `Meter` of a running daemon, on a registry of its own."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector

from anonymizer.types import REGION_REASONS, Doubt, Outcome, Reason, Stage, Target

VISIBLE_EVENTS = ("end", "begin")
SILHOUETTE_MASKS = ("drawn", "box")
SUSPECT_CAUSES = ("error", "flag", "loss")
WHOLE_FRAME_REASONS = tuple(reason for reason in Reason if reason not in REGION_REASONS)

STAGE_BUCKETS_S = (0.001, 0.002, 0.004, 0.008, 0.016, 0.033, 0.05, 0.066, 0.1, 0.2, 0.5, 1.0, 2.0)
LATENCY_BUCKETS_S = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.125, 0.15, 0.175),
    *(0.2, 0.25, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 1.0, 1.5, 2.0),
)

_Child = TypeVar("_Child", Counter, Gauge, Histogram)


class _Family(Generic[_Child]):
    """One metric; remembers its children, because several are looked up for every frame."""

    def __init__(self, metric: _Child) -> None:
        self._metric: _Child = metric
        self._children: dict[tuple[str, ...], _Child] = {}
        self._forgotten: set[str] = set()
        self._lock = threading.Lock()

    def at(self, *labels: str) -> _Child:
        """The child with these label values; the first one is the camera."""
        child = self._children.get(labels)
        return child if child is not None else self._make(labels)

    def remember(self, camera: str) -> None:
        with self._lock:
            self._forgotten.discard(camera)

    def forget(self, camera: str) -> None:
        """Drop the camera's series; a late call of a stopping thread will not bring them back."""
        with self._lock:
            self._forgotten.add(camera)
            for labels in [labels for labels in self._children if labels[0] == camera]:
                del self._children[labels]
                self._metric.remove(*labels)

    def _make(self, labels: tuple[str, ...]) -> _Child:
        with self._lock:
            child: _Child = self._metric.labels(*labels)
            if labels[0] in self._forgotten:
                self._metric.remove(*labels)
            else:
                self._children[labels] = child
            return child


class _WithoutCreated:
    """The registry less the `_created` series, which nearly double the page and which nobody reads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class PrometheusMeter:
    """Counts everything and renders it in the Prometheus text format; safe from any thread."""

    def __init__(self, *, version: str, runtime: str) -> None:
        """`version` is this program's, `runtime` names the inference runtime and its version."""
        self._registry = registry = CollectorRegistry()
        self._families: list[_Family[Counter] | _Family[Gauge] | _Family[Histogram]] = []  # all with a camera
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
        self._frames = self._counter(
            "frames",
            "Frames that left a stage; its rate by outcome is the fps. "
            "No rate of stage publish, outcome ok, for 30 s: look at that camera.",
            "stage",
            "outcome",
        )
        self._stage_seconds = self._histogram(
            "stage_seconds",
            "Time one frame was worked on in a stage; if the p99 exceeds the frame interval, this is the bottleneck.",
            STAGE_BUCKETS_S,
            "stage",
        )
        self._latency = self._histogram(
            "capture_to_publish_seconds",
            "Age of a frame when it is published, the look-ahead included; "
            "alert on p99 over privacy.lookahead_ms and half a second, then look at the stages.",
            LATENCY_BUCKETS_S,
        )
        self._detections = self._counter(
            "detections",
            "People and faces found, summed over frames; zero in a busy scene: check the camera.",
            "target",
        )
        self._tracks = self._gauge("tracks", "People and faces being followed now.", "target")
        self._whole_frame = self._counter(
            "whole_frame_masks",
            "Published frames that were masked whole; safe but useless pictures: the reason says what to repair.",
            "reason",
        )
        self._level = self._gauge(
            "governor_level",
            "0: all is well, 1: masks are wider, 2 to 4: of 2, 4 or 8 frames one is published; "
            "above 0 for minutes: too much for this machine, take faster models, fewer or slower cameras.",
        )
        self._spared = self._counter(
            "looks_spared",
            "Looks that the models were spared because nothing had moved; none in a quiet hour: something moves, "
            "or somebody is found in one look and not in the next.",
        )
        self._backwards = self._counter(
            "frames_masked_backwards",
            "Frames that hide somebody of whom only later frames told; without look-ahead they would have shown.",
        )
        self._gaps = self._counter(
            "gaps_bridged",
            "Times that somebody was found again after the detector had missed them; a high rate: use a better model.",
        )
        self._unconfirmed = self._counter(
            "unconfirmed_detections_masked",
            "Detections masked before a second one confirmed them; far more than people pass: raise the thresholds.",
        )
        self._attention_failures = self._counter(
            "attention_failures",
            "Frames at which the attention model was to look and could not; any: see the log. Mode strict masks them.",
        )
        self._silhouettes = self._counter(
            "silhouettes",
            "Persons masked by their shape (drawn), or by their box where no shape was sure; mostly box: people "
            "overlap, are small or cut off, or detect.silhouette_budget_ms is too short.",
            "mask",
        )
        self._kept_visible = self._counter(
            "kept_visible",
            "Times that somebody who was recognised began to stay visible, or was masked again; the log says who.",
            "event",
        )
        self._refused = self._counter(
            "recognition_refusals",
            "Faces masked in a frame although they have votes for staying visible, or that could not be recognised; "
            "somebody enrolled is masked too often: see the reason.",
            "reason",
        )
        self._suspect = self._counter(
            "suspect_frames",
            "Damage seen by the decoder; a steady rate of cause loss points to the network or to UDP: try TCP.",
            "cause",
        )
        self._connected = self._gauge("camera_connected", "1 while the camera is connected; alert on 0 for a minute.")
        self._reconnects = self._counter(
            "reconnects", "Further attempts to connect; more than a few an hour: check cable, power and camera limits."
        )
        self._dropped = self._counter(
            "queue_drops",
            "Things that a full queue threw away; a steady rate means that the reader of that queue is too slow.",
            "queue",
        )
        self._queue_depth = self._gauge("queue_depth", "Things waiting in a queue now; always full: too slow.", "queue")
        self._restarts = self._counter(
            "stage_restarts",
            "Crashed stages that were started again; any increase deserves a look at the log.",
            "stage",
        )
        self._clients = self._gauge("clients", "Clients that read an output now.", "output")
        self._bytes = self._counter("sent_bytes", "Bytes handed to an output; its rate is the bandwidth.", "output")
        self._audited = self._counter("audited_pictures", "Published pictures that were searched for bare faces.")
        self._findings = self._counter(
            "audit_findings",
            "Faces that another model found outside the masks of published pictures; any: look at that camera now.",
        )
        self._audit_failures = self._counter(
            "audit_failures", "Published pictures that could not be audited; a steady rate: nobody looks, see the log."
        )
        self._webhook_failures = self._counter(
            "audit_webhook_failures", "Findings that audit.webhook_url did not take; any: alarms do not arrive."
        )

    def exposition(self) -> bytes:
        """All metrics in the text format, version 0.0.4."""
        return generate_latest(_WithoutCreated(self._registry))

    def frame(self, camera: str, stage: Stage, outcome: Outcome) -> None:
        """One frame left a stage."""
        self._frames.at(camera, stage, outcome).inc()

    def stage_seconds(self, camera: str, stage: Stage, seconds: float) -> None:
        """Wall time one frame spent being worked on in a stage."""
        self._stage_seconds.at(camera, stage).observe(seconds)

    def latency_seconds(self, camera: str, seconds: float) -> None:
        """Capture to publish of one frame."""
        self._latency.at(camera).observe(seconds)

    def detections(self, camera: str, target: Target, count: int) -> None:
        """Detections in one frame."""
        self._detections.at(camera, _name(target)).inc(count)

    def tracks(self, camera: str, target: Target, count: int) -> None:
        """Live tracks now."""
        self._tracks.at(camera, _name(target)).set(count)

    def whole_frame(self, camera: str, reason: Reason) -> None:
        """One published frame was masked whole."""
        self._whole_frame.at(camera, reason).inc()

    def governor_level(self, camera: str, level: int) -> None:
        """How far the camera degrades under load: 0 not at all, 1 wider masks, from 2 on fewer frames."""
        self._level.at(camera).set(level)

    def look_spared(self, camera: str) -> None:
        """The models were not asked to look at one frame that was due, because nothing had moved."""
        self._spared.at(camera).inc()

    def masked_backwards(self, camera: str) -> None:
        """One released frame hides somebody of whom only later frames tell."""
        self._backwards.at(camera).inc()

    def gaps_bridged(self, camera: str, count: int) -> None:
        """So many tracks were found again after the detector had missed them."""
        self._gaps.at(camera).inc(count)

    def unconfirmed_masked(self, camera: str, count: int) -> None:
        """One released frame hides so many detections that no other has confirmed yet."""
        self._unconfirmed.at(camera).inc(count)

    def suspect(self, camera: str, cause: str) -> None:
        """A decoder saw damage: cause is error, flag or loss."""
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
        """A crashed stage is started again."""
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
        """Attention was to look at one frame and could not."""
        self._attention_failures.at(camera).inc()

    def silhouettes(self, camera: str, *, drawn: int, boxes: int) -> None:
        """Of the persons found in one frame, so many are masked by their shape, and so many by their box."""
        self._silhouettes.at(camera, SILHOUETTE_MASKS[0]).inc(drawn)
        self._silhouettes.at(camera, SILHOUETTE_MASKS[1]).inc(boxes)

    def kept_visible(self, camera: str, *, begins: bool) -> None:
        """Somebody who was recognised begins to stay visible, or is masked again."""
        self._kept_visible.at(camera, VISIBLE_EVENTS[begins]).inc()

    def recognition_refused(self, camera: str, doubt: Doubt) -> None:
        """Somebody who might stay visible is masked in one frame, or could not be recognised in it."""
        self._refused.at(camera, doubt).inc()

    def delegate_fallback(self, model: str, delegate: str) -> None:
        """The CPU computes a model instead of the delegate asked for, which did not start."""
        self._delegate_fallbacks.labels(model, delegate).inc()

    def audited(self, camera: str, findings: int) -> None:
        """One published picture was looked at again; so many faces lay outside its masks."""
        self._audited.at(camera).inc()
        self._findings.at(camera).inc(findings)

    def audit_failed(self, camera: str) -> None:
        """One published picture could not be looked at."""
        self._audit_failures.at(camera).inc()

    def webhook_failed(self, camera: str) -> None:
        """The web address that findings are sent to did not take one."""
        self._webhook_failures.at(camera).inc()

    def remember(self, camera: str) -> None:
        """The camera is in the YAML: show the series that alerts need, at zero, before anything happens."""
        for family in self._families:
            family.remember(camera)
        for stage in Stage:
            self._restarts.at(camera, stage)
            for outcome in Outcome:
                self._frames.at(camera, stage, outcome)
        for reason in WHOLE_FRAME_REASONS:
            self._whole_frame.at(camera, reason)
        for cause in SUSPECT_CAUSES:
            self._suspect.at(camera, cause)
        for mask in SILHOUETTE_MASKS:
            self._silhouettes.at(camera, mask)
        for event in VISIBLE_EVENTS:
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
        """The camera left the YAML: drop its series until `remember` names it again."""
        for family in self._families:
            family.forget(camera)

    def _counter(self, name: str, text: str, *labels: str) -> _Family[Counter]:
        family = _Family(Counter(f"anonymizer_{name}", text, ("camera", *labels), registry=self._registry))
        self._families.append(family)
        return family

    def _gauge(self, name: str, text: str, *labels: str) -> _Family[Gauge]:
        family = _Family(Gauge(f"anonymizer_{name}", text, ("camera", *labels), registry=self._registry))
        self._families.append(family)
        return family

    def _histogram(self, name: str, text: str, buckets_s: Sequence[float], *labels: str) -> _Family[Histogram]:
        family = _Family(
            Histogram(f"anonymizer_{name}", text, ("camera", *labels), registry=self._registry, buckets=buckets_s)
        )
        self._families.append(family)
        return family


def _info(registry: CollectorRegistry, name: str, text: str, **labels: str) -> None:
    Gauge(name, text, tuple(labels), registry=registry).labels(**labels).set(1)


def _name(target: Target) -> str:
    return target.name.lower()
