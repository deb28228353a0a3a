"""Runs the command line of the training tools: `python -m scripts.train`."""

import sys

from scripts.train.cli import main

sys.exit(main())
