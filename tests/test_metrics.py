"""Rules of the metrics: names and texts that promtool accepts, series that alerts can rely on, no leaks."""

from __future__ import annotations

import shutil
import subprocess
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from anonymizer.observe.meter import LATENCY_BUCKETS_S, STAGE_BUCKETS_S, WHOLE_FRAME_REASONS, PrometheusMeter
from anonymizer.ports import Meter
from anonymizer.types import REGION_REASONS, Doubt, Outcome, Reason, Stage, Target


def make_meter() -> PrometheusMeter:
    return PrometheusMeter(version="1.2.3", runtime="ai-edge-litert 2.1.6")


def values(meter: PrometheusMeter) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(meter.exposition().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(meter: PrometheusMeter, name: str, **labels: str) -> float | None:
    return values(meter).get((name, frozenset(labels.items())))


def use_everything(meter: Meter, camera: str) -> None:
    meter.frame(camera, Stage.CAPTURE, Outcome.OK)
    meter.stage_seconds(camera, Stage.DETECT, 0.03)
    meter.latency_seconds(camera, 0.12)
    meter.detections(camera, Target.FACE, 3)
    meter.tracks(camera, Target.PERSON, 2)
    meter.whole_frame(camera, Reason.STALE)
    meter.governor_level(camera, 2)
    meter.attention_failed(camera)
    meter.look_spared(camera)
    meter.masked_backwards(camera)
    meter.gaps_bridged(camera, 2)
    meter.unconfirmed_masked(camera, 3)
    meter.suspect(camera, "loss")
    meter.kept_visible(camera, begins=True)
    meter.recognition_refused(camera, Doubt.NEAR_FACE)
    meter.connected(camera, up=True)
    meter.reconnect(camera)
    meter.dropped(camera, "mailbox", 4)
    meter.queue_depth(camera, "mailbox", 5)
    meter.restart(camera, Stage.ENCODE)
    meter.clients(camera, "rtsp", 6)
    meter.bytes_out(camera, "push", 700)


def test_every_call_shows_up_under_its_name_and_labels() -> None:
    meter = make_meter()
    use_everything(meter, "door")
    meter.detector_model("centerface-int8", "int8", "litert", "xnnpack")
    found = values(meter)
    door = ("camera", "door")
    expected: dict[tuple[str, frozenset[tuple[str, str]]], float] = {
        (f"anonymizer_{name}", frozenset({door, *labels})): number
        for name, labels, number in [
            ("frames_total", {("stage", "capture"), ("outcome", "ok")}, 1),
            ("stage_seconds_count", {("stage", "detect")}, 1),
            ("stage_seconds_sum", {("stage", "detect")}, 0.03),
            ("capture_to_publish_seconds_sum", set(), 0.12),
            ("detections_total", {("target", "face")}, 3),
            ("tracks", {("target", "person")}, 2),
            ("whole_frame_masks_total", {("reason", "stale")}, 1),
            ("governor_level", set(), 2),
            ("attention_failures_total", set(), 1),
            ("looks_spared_total", set(), 1),
            ("frames_masked_backwards_total", set(), 1),
            ("gaps_bridged_total", set(), 2),
            ("unconfirmed_detections_masked_total", set(), 3),
            ("suspect_frames_total", {("cause", "loss")}, 1),
            ("kept_visible_total", {("event", "begin")}, 1),
            ("recognition_refusals_total", {("reason", "near_face")}, 1),
            ("camera_connected", set(), 1),
            ("reconnects_total", set(), 1),
            ("queue_drops_total", {("queue", "mailbox")}, 4),
            ("queue_depth", {("queue", "mailbox")}, 5),
            ("stage_restarts_total", {("stage", "encode")}, 1),
            ("clients", {("output", "rtsp")}, 6),
            ("sent_bytes_total", {("output", "push")}, 700),
        ]
    }
    assert expected.items() <= found.items()
    model = {"model": "centerface-int8", "precision": "int8", "runtime": "litert", "delegate": "xnnpack"}
    assert value(meter, "anonymizer_model_info", **model) == 1
    meter.delegate_fallback("centerface-int8", "gpu")
    assert value(meter, "anonymizer_delegate_fallbacks_total", model="centerface-int8", delegate="gpu") == 1


def test_build_info_and_process_numbers_are_there() -> None:
    page = make_meter().exposition().decode()
    assert 'anonymizer_build_info{machine="' in page
    assert 'version="1.2.3"' in page
    assert 'runtime="ai-edge-litert 2.1.6"' in page
    assert "process_resident_memory_bytes" in page
    assert "process_open_fds" in page
    assert "_created" not in page


def test_a_remembered_camera_has_what_alerts_need_at_zero() -> None:
    meter = make_meter()
    meter.remember("door")
    for reason in WHOLE_FRAME_REASONS:
        assert value(meter, "anonymizer_whole_frame_masks_total", camera="door", reason=reason) == 0
    for stage in Stage:
        assert value(meter, "anonymizer_stage_restarts_total", camera="door", stage=stage) == 0
        for outcome in Outcome:
            assert value(meter, "anonymizer_frames_total", camera="door", stage=stage, outcome=outcome) == 0
    for cause in ("error", "flag", "loss"):
        assert value(meter, "anonymizer_suspect_frames_total", camera="door", cause=cause) == 0
    assert value(meter, "anonymizer_camera_connected", camera="door") == 0
    assert value(meter, "anonymizer_reconnects_total", camera="door") == 0
    assert value(meter, "anonymizer_capture_to_publish_seconds_count", camera="door") == 0


def test_whole_frame_reasons_are_all_but_those_of_single_regions() -> None:
    assert set(WHOLE_FRAME_REASONS) == set(Reason) - REGION_REASONS


def test_a_forgotten_camera_leaves_no_series_and_late_calls_do_not_bring_it_back() -> None:
    meter = make_meter()
    for camera in ("door", "yard"):
        meter.remember(camera)
        use_everything(meter, camera)
    meter.forget("door")
    use_everything(meter, "door")
    page = meter.exposition().decode()
    assert 'camera="door"' not in page
    assert value(meter, "anonymizer_reconnects_total", camera="yard") == 1


def test_a_camera_that_comes_back_counts_from_zero() -> None:
    meter = make_meter()
    use_everything(meter, "door")
    meter.forget("door")
    meter.forget("door")
    meter.remember("door")
    meter.reconnect("door")
    assert value(meter, "anonymizer_reconnects_total", camera="door") == 1
    assert value(meter, "anonymizer_sent_bytes_total", camera="door", output="push") is None


def test_two_meters_in_one_process_do_not_meet() -> None:
    first, second = make_meter(), make_meter()
    first.reconnect("door")
    assert value(second, "anonymizer_reconnects_total", camera="door") is None


def test_no_count_is_lost_when_threads_count_together() -> None:
    meter, go = make_meter(), threading.Barrier(4)

    def count() -> None:
        go.wait()
        for _ in range(1000):
            meter.reconnect("door")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(meter, "anonymizer_reconnects_total", camera="door") == 4000


@pytest.mark.parametrize("buckets", [STAGE_BUCKETS_S, LATENCY_BUCKETS_S])
def test_buckets_rise_from_1_ms_to_2_s(buckets: tuple[float, ...]) -> None:
    assert list(buckets) == sorted(set(buckets))
    assert (buckets[0], buckets[-1]) == (0.001, 2.0)


def test_promtool_accepts_the_page_without_a_warning() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: apt-get install prometheus")
    meter = make_meter()
    meter.remember("door")
    use_everything(meter, "yard")
    meter.detector_model("centerface-int8", "int8", "litert", "xnnpack")
    meter.delegate_fallback("centerface-int8", "gpu")
    check = subprocess.run([promtool, "check", "metrics"], input=meter.exposition(), capture_output=True, timeout=30)
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")
