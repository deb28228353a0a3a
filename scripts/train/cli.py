"""The command line of the training tools; each module registers its commands by `add_commands`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from anonymizer.errors import AnonymizerError
from scripts.train.datasets import commands as datasets
from scripts.train.identity import commands as identity
from scripts.train.presence import commands as presence
from scripts.train.stop import INTERRUPTED

LEARNING = ("teach", "fit", "blend", "export", "slim", "curve", "restore", "silhouette")  # need the extra
MODULES = {"slim": "slim.commands"}  # where a command's module is called otherwise


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; its exit status, 1 after an error that was explained, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m scripts.train", description="train and deploy models of your own")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    datasets.add_commands(commands)
    presence.add_commands(commands)
    identity.add_commands(commands)
    for name in LEARNING:
        try:
            module = importlib.import_module(f"scripts.train.{MODULES.get(name, name)}")
        except ModuleNotFoundError as error:
            parser.epilog = f"{', '.join(LEARNING)} need the extra: pip install -e '.[train]' (no module {error.name})"
            break
        module.add_commands(commands)
    arguments = parser.parse_args(argv)
    try:
        status = int(arguments.run(arguments))
        sys.stdout.flush()
        return status
    except AnonymizerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read has enough, as `| head`; the interpreter would stumble over the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, in whatever file it was noticed
        print(f"error: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
