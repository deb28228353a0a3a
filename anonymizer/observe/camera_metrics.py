"""Prometheus metrics with one series or more for each camera, which are dropped when the camera leaves the settings."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_Series = TypeVar("_Series", Counter, Gauge, Histogram)


class CameraMetric(Generic[_Series]):
    """One metric whose first label is the camera; keeps its series at hand, as several are needed for every frame."""

    def __init__(self, metric: _Series) -> None:
        self._metric: _Series = metric
        self._series: dict[tuple[str, ...], _Series] = {}
        self._forgotten: set[str] = set()
        self._lock = threading.Lock()

    def at(self, *labels: str) -> _Series:
        """The series with these label values, of which the first is the camera."""
        series = self._series.get(labels)
        return series if series is not None else self._make(labels)

    def remember(self, camera: str) -> None:
        """Let the camera have series again."""
        with self._lock:
            self._forgotten.discard(camera)

    def forget(self, camera: str) -> None:
        """Drop the camera's series; a late call from a thread that is stopping does not bring them back."""
        with self._lock:
            self._forgotten.add(camera)
            for labels in [labels for labels in self._series if labels[0] == camera]:
                del self._series[labels]
                self._metric.remove(*labels)

    def _make(self, labels: tuple[str, ...]) -> _Series:
        with self._lock:
            series: _Series = self._metric.labels(*labels)
            if labels[0] in self._forgotten:
                self._metric.remove(*labels)
            else:
                self._series[labels] = series
            return series


class CameraMetrics:
    """Makes camera metrics in a registry, and remembers and forgets cameras in all of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._all: list[CameraMetric[Counter] | CameraMetric[Gauge] | CameraMetric[Histogram]] = []

    def counter(self, name: str, text: str, *labels: str) -> CameraMetric[Counter]:
        """A new counter `anonymizer_NAME_total` with the label camera and these."""
        metric = CameraMetric(Counter(f"anonymizer_{name}", text, ("camera", *labels), registry=self._registry))
        self._all.append(metric)
        return metric

    def gauge(self, name: str, text: str, *labels: str) -> CameraMetric[Gauge]:
        """A new gauge `anonymizer_NAME` with the label camera and these."""
        metric = CameraMetric(Gauge(f"anonymizer_{name}", text, ("camera", *labels), registry=self._registry))
        self._all.append(metric)
        return metric

    def histogram(self, name: str, text: str, buckets_s: Sequence[float], *labels: str) -> CameraMetric[Histogram]:
        """A new histogram `anonymizer_NAME` with the label camera and these."""
        metric = CameraMetric(
            Histogram(f"anonymizer_{name}", text, ("camera", *labels), registry=self._registry, buckets=buckets_s)
        )
        self._all.append(metric)
        return metric

    def remember(self, camera: str) -> None:
        """Let the camera have series."""
        for metric in self._all:
            metric.remember(camera)

    def forget(self, camera: str) -> None:
        """Drop the camera's series until `remember` names it again."""
        for metric in self._all:
            metric.forget(camera)
