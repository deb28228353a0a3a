"""Reads camera streams, makes people unrecognisable, publishes only the redacted stream."""

__version__ = "0.1.0"
