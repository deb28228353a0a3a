"""The strongest attacker on masks that we know: a small network that learns what a masked face was."""

from scripts.train.restore.commands import add_commands

__all__ = ["add_commands"]
