"""Masks pictures with deface and says what they cost; runs in an environment of its own, without anonymizer.

    python deface_pictures.py B,G,R <pairs.json

stdin: a JSON list of [picture, where the masked one goes]. stdout: {"cpu_ms": of its detector, mean}. Pictures that are
there already are not masked again; their cost is kept beside them. deface's defaults: threshold 0.2, boxes 1.3 times as
large, native size; `solid` draws boxes. ONNX Runtime and OpenCV take one thread.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import onnxruntime
from deface.centerface import CenterFace
from deface.deface import draw_det, scale_bb

THRESHOLD, SCALE = 0.2, 1.3


def one_thread() -> None:
    """Let every session that deface makes use one thread."""
    make = onnxruntime.InferenceSession

    def session(*arguments: Any, **options: Any) -> Any:
        chosen = onnxruntime.SessionOptions()
        chosen.intra_op_num_threads = chosen.inter_op_num_threads = 1
        return make(*arguments, sess_options=chosen, **options)

    onnxruntime.InferenceSession = session
    cv2.setNumThreads(1)


def mask(detector: CenterFace, source: Path, target: Path, fill_rgb: tuple[int, ...]) -> float:
    """Write the masked picture; returns the CPU time of the detector in ms."""
    stored = cv2.imread(str(source), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if stored is None:
        raise SystemExit(f"{source}: is no picture")
    picture = cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
    began_ns = time.process_time_ns()
    found, _ = detector(picture, threshold=THRESHOLD)
    spent_ms = (time.process_time_ns() - began_ns) / 1e6
    height, width = picture.shape[:2]
    for index, detection in enumerate(found):
        x1, y1, x2, y2 = scale_bb(*detection[:4].astype(int), SCALE)
        corners = max(0, x1), max(0, y1), min(width - 1, x2), min(height - 1, y2)
        draw_det(picture, detection[4], index, *corners, replacewith="solid", ovcolor=fill_rgb)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part.png")
    cv2.imwrite(str(part), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    part.replace(target)
    return spent_ms


def main() -> None:
    """Mask what is missing."""
    pairs = [(Path(source), Path(target)) for source, target in json.load(sys.stdin)]
    fill_rgb = tuple(int(level) for level in sys.argv[1].split(","))[::-1]
    answers, sys.stdout = sys.stdout, sys.stderr  # deface prints
    one_thread()
    detector = CenterFace(in_shape=None, backend="onnxrt", override_execution_provider="CPUExecutionProvider")
    detector(cv2.imread(str(pairs[0][0])), threshold=THRESHOLD)  # the first look is slower
    costs_ms = []
    for source, target in pairs:
        cost = target.with_suffix(".ms")
        if not cost.exists():
            cost_ms = mask(detector, source, target, fill_rgb)
            cost.write_text(str(cost_ms))
        costs_ms.append(float(cost.read_text()))
    json.dump({"cpu_ms": sum(costs_ms) / len(costs_ms)}, answers)


if __name__ == "__main__":
    main()
