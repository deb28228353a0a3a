"""The command line of the training tools; each module registers its commands by `add_commands`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from anonymizer.errors import AnonymizerError
from scripts.train.datasets import commands as datasets

REGISTER = (datasets.add_commands,)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; its exit status, 1 after an error that was explained."""
    parser = argparse.ArgumentParser(prog="python -m scripts.train", description="train and deploy models of your own")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for register in REGISTER:
        register(commands)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except AnonymizerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
