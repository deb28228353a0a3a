"""Tries model files of the user's in a child process, so that a damaged or hostile one brings down only that."""

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
_START_S = 30.0  # for the libraries to load
_END_S = 2.0  # for a child to end after it closed its output; a crashed one may hang


@dataclass(frozen=True, slots=True)
class Allowance:
    """The limits of a trial; beyond them it counts as failed."""

    wall_s: float
    cpu_s: int
    memory_bytes: int = 1 << 30  # on top of what the child uses before it opens the file


TO_RECOGNISE = Allowance(wall_s=600.0, cpu_s=600)  # enough to run a large model a hundred times on a slow processor
TO_LOAD = Allowance(wall_s=10.0, cpu_s=20)  # short, because the daemon waits
READY = b"ready\n"  # the child's first line


@dataclass(frozen=True, slots=True)
class Recognise:
    """A request to find out how the outputs of a model are to be read."""

    path: Path
    tests: tuple[SelfTest, ...]
    target: Target | None
    allowance: Allowance
    kind: Literal["recognise"] = "recognise"


@dataclass(frozen=True, slots=True)
class Load:
    """A request to load a model and run its self-test."""

    model: DetectorModel
    threads: int
    delegate: Delegate
    allowance: Allowance
    kind: Literal["load"] = "load"

    @property
    def path(self) -> Path:
        """The model's file."""
        return self.model.path


@dataclass(frozen=True, slots=True)
class Answer:
    """The child's answer to a request."""

    reading: Reading | None = None  # if the file was to be recognised, and was
    refusal: str | None = None  # why the file cannot be used


Request = Recognise | Load
REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
ANSWER = TypeAdapter(Answer)


class Quarantine(Resource):
    """A child process that tries one file after another, replaced when a file brings it down; used by one thread."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the child; raises ModelError."""
        self._child_process()

    def close(self) -> None:
        """End the child; idempotent."""
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
        """Load the model and run its self-test; raises ModelError if either fails or takes too much."""
        answer = self._ask(Load(model, threads, delegate, allowance))
        if answer.refusal is not None:
            raise ModelError(answer.refusal)

    def _ask(self, request: Request) -> Answer:
        """The child's answer; raises ModelError if the file brings the child down or takes too long."""
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
        """The child, started anew if there is none; raises ModelError."""
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
            why = "it does not follow the protocol"
        except TimeoutError:
            why = f"it is not ready after {_START_S:g} s"
        except OSError as error:
            why = error.strerror or type(error).__name__
        except EOFError:
            why = "it ended at once"
        self.close()
        raise ModelError(f"cannot start the process that model files are tried in: {why}; try again")


def _pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert child.stdin is not None  # noqa: S101 - both were asked for
    assert child.stdout is not None  # noqa: S101 - as above
    return child.stdin, child.stdout


def _line(stream: IO[bytes], limit_s: float) -> bytes:
    """The next line; raises EOFError at the end, TimeoutError if nothing comes for `limit_s`."""
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
    """What a file did to the child, which has closed its output."""
    try:
        status = child.wait(_END_S)
    except subprocess.TimeoutExpired:
        return "made the model runtime hang"
    if status == -signal.SIGXCPU:
        return f"took more than {allowance.cpu_s} s of processor time"
    how = f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
    return f"brought the model runtime down ({how})"
