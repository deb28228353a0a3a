"""The command line: `anonymizer run | check | probe | enroll | models | evaluate | benchmark | version`.

Exit status: 0 done; 1 something is wrong that the message names; 2 the command line or the settings are wrong
(systemd does not restart the service then); 130 interrupted; 141 the reader of the output has gone.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pydantic import SecretStr, ValidationError

from anonymizer import __version__
from anonymizer.arguments import day, picture_size, share
from anonymizer.attack.command import add_arguments as add_attack_arguments
from anonymizer.attack.command import request_of as attack_request_of
from anonymizer.clock import SystemClock
from anonymizer.errors import AnonymizerError, SettingsError
from anonymizer.evaluate.arguments import add_arguments as add_evaluate_arguments
from anonymizer.evaluate.arguments import request_of
from anonymizer.evaluate.video.arguments import add_arguments as add_video_arguments
from anonymizer.evaluate.video.arguments import request_of as video_request_of
from anonymizer.identify.calibration import MODEL
from anonymizer.observe.log import mask_secrets
from anonymizer.settings.load import load_settings, read_password
from anonymizer.settings.schema import CameraSettings, Settings, TargetName, Transport
from anonymizer.settings.wording import explain
from anonymizer.types import Size
from anonymizer.zoo import PICTURES, Zoo

FAILED, WRONG, INTERRUPTED, UNREAD = 1, 2, 130, 141
DEFAULT_CONFIG = Path("/etc/anonymizer/anonymizer.yaml")
SURE_FACE = 0.5  # least score of the faces that are attacked
USER_MODELS_DIR = Path("/etc/anonymizer/models")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the answer is the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        _check_outputs(arguments)
        status: int = arguments.command(arguments)
        sys.stdout.flush()
    except SettingsError as error:
        return _complain(error, WRONG)
    except AnonymizerError as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader has enough, as with `| head`; without this the interpreter fails at its exit
        if arguments.command is _run:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    return status


def _complain(error: Exception, status: int) -> int:
    print(mask_secrets(str(error)), file=sys.stderr)
    return status


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Raises SettingsError for output files that cannot be written, before hours of measuring rather than after."""
    for name in ("json", "picture", "page"):
        path: Path | None = getattr(arguments, name, None)
        if path is not None and (
            path.is_dir() or not os.access(path if os.path.lexists(path) else path.parent, os.W_OK)
        ):
            raise SettingsError(f"--{name}: {path} cannot be written: a folder, in no folder, or not for this user")
    gallery: Path | None = getattr(arguments, "gallery", None)
    if gallery is not None:
        place = next(path for path in (gallery, *gallery.absolute().parents) if os.path.lexists(path))
        if not (place.is_dir() and os.access(place, os.W_OK)):
            raise SettingsError(
                f"--gallery: {gallery} cannot be made: {place} is no folder that this user can write to"
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anonymizer",
        description="Reads camera streams, makes people unrecognisable, publishes only the redacted stream.",
        epilog="exit status: 0 done; 1 something is wrong, see the message; 2 wrong command line or settings",
    )
    parser.add_argument("--version", action="version", version=f"anonymizer {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, function: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        sub.set_defaults(command=function)
        return sub

    run = command("run", _run, "run until stopped; SIGHUP reads the settings again")
    check = command("check", _check, "check settings, models, ports and libraries, and say what to mend")
    for sub in (run, check):
        sub.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="settings file (default: %(default)s)")
    check.add_argument("--connect", action="store_true", help="also open every camera")

    probe = command("probe", _probe, "open a camera and say what it sends")
    probe.add_argument("url", help="rtsp:// rtsps:// http:// https:// file:// /dev/videoN demo://")
    probe.add_argument("--transport", choices=[str(choice) for choice in Transport], default=str(Transport.TCP))
    probe.add_argument("--username", help="user of the camera, if it wants one")
    probe.add_argument("--password-file", type=Path, help="file with the password alone")

    _add_enroll(command("enroll", _enroll, "let cameras know somebody who agreed, from photos, which are not kept"))

    _add_models(command("models", _models, "list, verify, fetch or add models"))
    _add_evaluate(command("evaluate", _evaluate, "measure on labelled pictures and clips what masks leave bare"))

    benchmark = command("benchmark", _benchmark, "measure this device for a minute and recommend settings")
    benchmark.add_argument("--cameras", type=int, help="how many (default: those in the file of --write, or 1)")
    benchmark.add_argument(
        "--size", type=picture_size, default=Size(1920, 1080), help="of their pictures (default: 1920x1080)"
    )
    benchmark.add_argument("--fps", type=float, default=15.0, help="pictures a second of each (default: 15)")
    benchmark.add_argument(
        "--write", type=Path, metavar="FILE", help="put the recommended keys into a settings file; comments stay"
    )

    command("version", _version, "print the versions of the program and of what it runs on")
    return parser


def _add_models(models: argparse.ArgumentParser) -> None:
    actions = models.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="the models of the manifest")
    actions.add_parser("verify", help="compare the files with the manifest, and run each on a portrait")
    actions.add_parser("fetch", help="download a model whose entry has a url").add_argument("name")
    add = actions.add_parser(
        "add", help="find out how a TFLite file of yours is to be read, and copy it to your models"
    )
    add.add_argument("file", type=Path)
    add.add_argument("--name", help="(default: from the file's name)")
    add.add_argument("--target", choices=["face", "person"], help="(default: what it finds best)")
    add.add_argument("--threshold", type=share, help="least score of a detection, between 0 and 1 (default: 0.3)")
    for action, default in (("list", None), ("verify", None), ("fetch", None), ("add", USER_MODELS_DIR)):
        text = f"folder with models of yours (default: {default or 'none, only those of the program'})"
        actions.choices[action].add_argument("--models-dir", type=Path, default=default, help=text)


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    kinds = evaluate.add_subparsers(title="what", required=True, metavar="WHAT")
    add_evaluate_arguments(kinds.add_parser("detect", help="detectors, or the masked pictures of another tool"))
    video = kinds.add_parser("video", help="the whole pipeline on clips, or the masked clip of another tool")
    video.set_defaults(command=_evaluate_video)
    add_video_arguments(video)
    attack = kinds.add_parser("attack", help="who is still recognised behind each effect, by folders of known people")
    attack.set_defaults(command=_evaluate_attack)
    add_attack_arguments(attack)


def _add_enroll(enroll: argparse.ArgumentParser) -> None:
    enroll.usage = (
        "anonymizer enroll NAME PHOTO... --consent DATE [--pseudonym TEXT] [--config FILE]\n"
        "       anonymizer enroll list [--config FILE]\n"
        "       anonymizer enroll remove NAME [--config FILE]"
    )
    enroll.add_argument("name", help="as cameras name them under identities; or: list, remove")
    enroll.add_argument(
        "photos", nargs="*", metavar="PHOTO", help="each shows the face once, from the front; or: a name"
    )
    enroll.add_argument(
        "--consent", type=day, metavar="DATE", help="last day on which they may be recognised: 2027-06-30"
    )
    enroll.add_argument("--pseudonym", help="what logs call them (default: the name)")
    enroll.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="settings file (default: %(default)s)")


def _run(arguments: argparse.Namespace) -> int:
    from anonymizer.service import run

    return run(arguments.config)


def _check(arguments: argparse.Namespace) -> int:
    from anonymizer.check import check

    settings = load_settings(arguments.config)
    print(f"ok   settings: {arguments.config}, cameras: {', '.join(camera.id for camera in settings.cameras)}")
    failures = 0
    for finding in check(settings, connect=arguments.connect):
        print(mask_secrets(str(finding)), flush=True)
        failures += not finding.ok
    if failures:
        print(f"{failures} to mend", file=sys.stderr)
    return FAILED if failures else 0


def _probe(arguments: argparse.Namespace) -> int:
    from anonymizer.probe import probe

    print(probe(_camera(arguments), SystemClock()))
    return 0


def _camera(arguments: argparse.Namespace) -> CameraSettings:
    try:
        password = arguments.password_file and SecretStr(read_password(arguments.password_file))
        return CameraSettings(
            id="probe",
            url=arguments.url,
            username=arguments.username,
            password=password,
            transport=Transport(arguments.transport),
        )
    except ValidationError as errors:
        (first, *_) = errors.errors(include_url=False, include_input=False)
        (key, *_), text = explain(first, None)
        raise SettingsError(f"{key}: {text}") from None


def _enroll(arguments: argparse.Namespace) -> int:
    from anonymizer import identities
    from anonymizer.observe.meter import PrometheusMeter

    is_usual = arguments.config == DEFAULT_CONFIG and _is_missing(arguments.config)
    settings = Settings() if is_usual else load_settings(arguments.config)
    clock, name, rest = SystemClock(), arguments.name, arguments.photos
    if name == "list" and not rest:
        print(*identities.enrolled(settings, identities.today_of(clock)), sep="\n")
        return 0
    if name == "remove" and len(rest) == 1:
        print(identities.remove(settings, rest[0]))
        return 0
    if name in ("list", "remove") or not rest:
        raise SettingsError("write: enroll NAME PHOTO... --consent DATE; or: enroll list; or: enroll remove NAME")
    if arguments.consent is None:
        raise SettingsError(f"until when did {name} agree? give the last day: --consent 2027-06-30")
    photos = [Path(photo) for photo in rest]
    meter = PrometheusMeter(version=__version__, runtime="")
    print(
        identities.enroll(
            settings, name, photos, until=arguments.consent, alias=arguments.pseudonym, clock=clock, meter=meter
        )
    )
    return 0


def _is_missing(path: Path) -> bool:
    """Whether there is no such file; False if that cannot be told, because reading the file explains why."""
    try:
        return not path.exists()
    except OSError:
        return False


def _models(arguments: argparse.Namespace) -> int:
    from anonymizer import models, silhouettes
    from anonymizer.check import Finding
    from anonymizer.quarantine import Quarantine

    if arguments.action == "add":
        target = arguments.target and TargetName(arguments.target).target
        print(models.add(arguments.file, arguments.models_dir, arguments.name, target, arguments.threshold))
        return 0
    zoo = Zoo(arguments.models_dir)
    if arguments.action == "fetch":
        print(models.fetch(zoo, arguments.name))
        return 0
    if arguments.action == "list":
        print(*models.table(zoo), sep="\n")
        return 0
    failures = 0
    with Quarantine() as quarantine:
        detects = partial(models.verify, quarantine=quarantine)
        proofs: dict[str, Callable[[Zoo, str], str]] = dict.fromkeys(zoo.detectors.names(), detects)
        proofs |= dict.fromkeys(zoo.embedders.names(), models.verify_embedder)
        proofs |= dict.fromkeys(zoo.attentions.names(), models.verify_attention)
        proofs |= dict.fromkeys(zoo.silhouettes.names(), silhouettes.verify_silhouette)
        for name, proof in proofs.items():
            try:
                finding = Finding(ok=True, subject=f"model {name}", text=proof(zoo, name))
            except AnonymizerError as error:
                finding = Finding(ok=False, subject=f"model {name}", text=str(error))
            print(finding, flush=True)
            failures += not finding.ok
    return FAILED if failures else 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from anonymizer.evaluate.command import evaluate
    from anonymizer.observe.meter import PrometheusMeter
    from anonymizer.studio import PictureStudio

    settings = load_settings(arguments.settings) if arguments.settings else Settings()
    studio = PictureStudio(settings, PrometheusMeter(version=__version__, runtime=""))
    print(evaluate(request_of(arguments), settings, studio.detector, studio.threshold))
    return 0


def _evaluate_video(arguments: argparse.Namespace) -> int:
    from anonymizer.evaluate.video.command import evaluate_video
    from anonymizer.observe.meter import PrometheusMeter
    from anonymizer.studio import RehearsalStudio

    settings = load_settings(arguments.settings) if arguments.settings else Settings()
    studio = RehearsalStudio(PrometheusMeter(version=__version__, runtime=""))
    print(evaluate_video(video_request_of(arguments), settings, studio))
    return 0


def _evaluate_attack(arguments: argparse.Namespace) -> int:
    from anonymizer.attack.command import evaluate_attack
    from anonymizer.detectors import make_detector
    from anonymizer.models import make_embedder
    from anonymizer.observe.meter import PrometheusMeter

    zoo, meter = Zoo(), PrometheusMeter(version=__version__, runtime="")
    detect = Settings().detect.model_copy(update={"face_threshold": SURE_FACE})
    detector = make_detector(detect, frozenset({TargetName.FACE}), is_flat=True, clock=SystemClock(), meter=meter)
    with detector, make_embedder(zoo.embedders.verify(MODEL)) as embedder:
        portraits = tuple(sorted(PICTURES.glob("*.jpg")))
        print(evaluate_attack(attack_request_of(arguments), detector.detect, embedder.embed_chip, portraits))
    return 0


def _benchmark(arguments: argparse.Namespace) -> int:
    from anonymizer.benchmark.recommend import Wish
    from anonymizer.benchmark.run import benchmark
    from anonymizer.benchmark.snippet import snippet, write_plan
    from anonymizer.pipeline.tempo import Patience

    path: Path | None = arguments.write
    settings = Settings() if path is None or _is_missing(path) else load_settings(path)
    cameras = arguments.cameras if arguments.cameras is not None else len(settings.cameras) or 1
    if not 1 <= cameras <= 64 or not 1 <= arguments.fps <= 60:
        raise SettingsError("--cameras must be 1 to 64 and --fps 1 to 60")
    print("measuring for about a minute; stop other work on this device, the daemon included", file=sys.stderr)
    wish = Wish(cameras, arguments.size, arguments.fps, Patience.of(settings.privacy))
    report = benchmark(settings, wish)
    print(f"{report}\n")
    if report.advice.plan is None:
        return FAILED
    print(snippet(report.advice.plan), end="")
    if report.advice.cameras < cameras:
        return FAILED  # a plan for fewer cameras must not be written for all
    if path is not None:
        write_plan(path, report.advice.plan)
        print(f"\nwritten to {path}")
    return 0


def _version(_arguments: argparse.Namespace) -> int:
    print(f"anonymizer {__version__}, Python {platform.python_version()}, {platform.machine()}")
    for package in ("ai-edge-litert", "tflite-runtime", "av", "opencv-python-headless", "numpy"):
        try:
            print(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return 0
