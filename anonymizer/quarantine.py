"""Tries model files of the user's in a child process, which a damaged or hostile one may bring down instead of us."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from anonymizer.detect.delegates import Delegate
from anonymizer.detect.detector import DetectorModel
from anonymizer.detect.recognise import Reading
from anonymizer.detect.self_test import SelfTest
from anonymizer.errors import ModelError
from anonymizer.lifecycle import Resource
from anonymizer.types import Target

_COMMAND = (sys.executable, "-m", "anonymizer.quarantine_child")
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_CHUNK_BYTES = 1 << 16
_START_S = 30.0  # what the libraries may take to load
_LAST_WORDS_S = 2.0  # a process that was hit hard may hang in its end


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a trial may take before it counts as failed."""

    wall_s: float
    cpu_s: int
    memory_bytes: int = 1 << 30  # beyond what the child has before it sees the file


TO_RECOGNISE = Allowance(wall_s=600.0, cpu_s=600)  # a large model runs a hundred times, on a slow processor
TO_LOAD = Allowance(wall_s=10.0, cpu_s=20)  # the daemon waits
READY = b"ready\n"  # the child's first line


@dataclass(frozen=True, slots=True)
class Recognise:
    """Find out how a file is to be read."""

    path: Path
    tests: tuple[SelfTest, ...]
    target: Target | None
    allowance: Allowance = TO_RECOGNISE
    kind: Literal["recognise"] = "recognise"


@dataclass(frozen=True, slots=True)
class Load:
    """Load a model and let it prove itself."""

    model: DetectorModel
    threads: int
    delegate: Delegate
    allowance: Allowance = TO_LOAD
    kind: Literal["load"] = "load"

    @property
    def path(self) -> Path:
        """The file."""
        return self.model.path


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request."""

    reading: Reading | None = None  # of a file that was recognised
    refusal: str | None = None  # why it cannot be used


Request = Recognise | Load
REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
ANSWER = TypeAdapter(Answer)


class Quarantine(Resource):
    """One child process that tries files in turn, replaced when a file brings it down; used by one thread."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the child; raises ModelError."""
        self._child_process()

    def close(self) -> None:
        """End it; idempotent."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()

    def recognise(
        self,
        path: Path,
        tests: Sequence[SelfTest],
        *,
        target: Target | None = None,
        allowance: Allowance = TO_RECOGNISE,
    ) -> Reading:
        """As `detect.recognise.recognise`; also raises ModelError when the file brings the runtime down."""
        answer = self._ask(Recognise(path.absolute(), tuple(tests), target, allowance))
        if answer.reading is None:
            raise ModelError(answer.refusal or f"{path} was not recognised")
        return answer.reading

    def load(self, model: DetectorModel, *, threads: int, delegate: Delegate, allowance: Allowance = TO_LOAD) -> None:
        """Raises ModelError unless the model loads, computes and keeps what its self-test promises."""
        answer = self._ask(Load(model, threads, delegate, allowance))
        if answer.refusal is not None:
            raise ModelError(answer.refusal)

    def _ask(self, request: Request) -> Answer:
        child = self._child_process()
        stdin, stdout = _pipes(child)
        try:
            stdin.write(REQUEST.dump_json(request) + b"\n")
            return ANSWER.validate_json(_line(stdout, request.allowance.wall_s))
        except TimeoutError:
            why = f"did not come to an end within {request.allowance.wall_s:g} s"
        except (EOFError, BrokenPipeError):
            why = _end_of(child, request.allowance)
        except ValidationError:
            why = "made the model runtime answer nonsense"
        self.close()
        remedy = "it is damaged or made to do harm; get it again from a source you trust"
        raise ModelError(f"{request.path} {why}: {remedy}")

    def _child_process(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self.close()
        try:
            self._child = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env=os.environ | _ONE_THREAD,
            )
            if _line(_pipes(self._child)[1], _START_S) == READY:
                return self._child
            why = "it says nonsense"
        except OSError as error:
            why = str(error.strerror or f"it is not ready after {_START_S:g} s")
        except EOFError:
            why = "it ended at once"
        self.close()
        raise ModelError(f"cannot start the process that model files are tried in: {why}; try again")


def _pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert child.stdin is not None  # noqa: S101 - both were asked for
    assert child.stdout is not None  # noqa: S101 - as above
    return child.stdin, child.stdout


def _line(stream: IO[bytes], limit_s: float) -> bytes:
    """The next line; raises EOFError at the end, TimeoutError after a silence of that length."""
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([stream], [], [], limit_s)[0]:
            raise TimeoutError
        chunk = os.read(stream.fileno(), _CHUNK_BYTES)
        if not chunk:
            raise EOFError
        line += chunk
    return line


def _end_of(child: subprocess.Popen[bytes], allowance: Allowance) -> str:
    try:
        status = child.wait(_LAST_WORDS_S)
    except subprocess.TimeoutExpired:
        return "made the model runtime hang"
    if status == -signal.SIGXCPU:
        return f"took more than {allowance.cpu_s} s of processor time"
    how = f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
    return f"brought the model runtime down ({how})"
