"""The errors that this package raises; each text says what happened, where, and what to do."""

from __future__ import annotations


class AnonymizerError(Exception):
    """Root of all errors of this package."""


class SettingsError(AnonymizerError, ValueError):
    """The YAML is wrong; the text names file, line, key and the nearest valid key."""


class SourceError(AnonymizerError, OSError):
    """A camera could not be opened or read; reconnecting may help."""


class SourceEnded(SourceError):  # noqa: N818 - not always an error
    """The stream ended: a file played to its end, or the camera hung up."""


class LoginRefusedError(SourceError):
    """The camera refuses the login; it may lock the account if it is asked often."""


class ModelError(AnonymizerError, RuntimeError):
    """A model file is missing, altered or unusable on this device."""


class InvalidOutputError(AnonymizerError, ArithmeticError):
    """A model returned NaN, infinite or wrongly shaped output."""


class LibraryError(AnonymizerError, ImportError):
    """A library of the system is missing; the text names what to install."""


class EncodeError(AnonymizerError, RuntimeError):
    """No usable encoder, or the encoder failed."""


class PublishError(AnonymizerError, RuntimeError):
    """An output could not be started: port taken, address refused."""


class DatasetError(AnonymizerError, ValueError):
    """Labelled pictures for an evaluation are missing, or their labels cannot be read."""


class GalleryError(AnonymizerError, RuntimeError):
    """Templates of people cannot be read, written or made; nobody is recognised then."""
