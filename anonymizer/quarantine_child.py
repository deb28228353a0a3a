"""The child process of the quarantine: answers each line of stdin, a request to try a file, with a line on stdout."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import cv2

from anonymizer import __version__
from anonymizer.clock import SystemClock
from anonymizer.detect.detector import TfliteDetector
from anonymizer.detect.engine import runtime_name
from anonymizer.detect.limits import Limits
from anonymizer.detect.recognise import recognise
from anonymizer.errors import AnonymizerError
from anonymizer.observe.meter import PrometheusMeter
from anonymizer.quarantine import ANSWER, READY, REQUEST, Allowance, Answer, Recognise, Request

_LIMITS = Limits(threshold=0.3, nms_iou=0.4, max_detections=5000)


def main() -> int:
    """Answer until stdin ends."""
    cv2.setNumThreads(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Path("/proc/self/oom_score_adj").write_text("1000")  # without memory the kernel kills us, not the daemon
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what the runtime prints must not get among the answers
    runtime_name()  # loads the runtime before memory is limited
    answers.write(READY)
    for line in sys.stdin.buffer:
        request = REQUEST.validate_json(line)
        _limit(request.allowance)
        answers.write(ANSWER.dump_json(_answer(request)) + b"\n")
    return 0


def _answer(request: Request) -> Answer:
    try:
        if isinstance(request, Recognise):
            return Answer(reading=recognise(request.path, request.tests, target=request.target))
        meter = PrometheusMeter(version=__version__, runtime="")
        with TfliteDetector(
            request.model,
            _LIMITS,
            threads=request.threads,
            clock=SystemClock(),
            meter=meter,
            delegate=request.delegate,
        ):
            return Answer()
    except AnonymizerError as error:
        return Answer(refusal=str(error))
    except MemoryError:
        mebibytes = request.allowance.memory_bytes >> 20
        return Answer(refusal=f"{request.path} needs more than {mebibytes} MiB of memory: choose a smaller model")
    except Exception as error:  # noqa: BLE001 - whatever error a file provokes is the answer; the file is not used
        return Answer(refusal=f"{request.path} cannot be used: {type(error).__name__}: {error}")


def _limit(allowance: Allowance) -> None:
    """Set the limits on top of what this process has used for earlier requests."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = int(usage.ru_utime + usage.ru_stime) + 1 + allowance.cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + allowance.memory_bytes, resource.RLIM_INFINITY))


def _data_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))


if __name__ == "__main__":
    sys.exit(main())
