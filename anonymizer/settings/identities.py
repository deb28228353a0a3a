"""The settings for recognising people: who stays visible on a camera, and how they are recognised."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from anonymizer.settings.section import Section, problem

NAME = re.compile(r"[^\W_][\w .'-]{0,62}")
LEAST_LOOKAHEAD_MS = 300  # somebody stays visible only between two votes, so frames must wait for the second one


def checked_name(name: str) -> str:
    """The name of a person; raises for one that could be mistaken for something else."""
    if not NAME.fullmatch(name) or name != name.strip():
        raise problem("must be a name of letters, digits, spaces and . ' - _, at most 63 of them")
    return name


PersonName = Annotated[str, AfterValidator(checked_name)]


class IdentitiesSettings(Section):
    """Whom a camera leaves visible; without names: nobody."""

    keep_visible: tuple[PersonName, ...] = ()
    only_redact: tuple[PersonName, ...] = ()  # everybody who is certainly none of them stays visible

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.keep_visible and self.only_redact:
            raise problem("keep_visible and only_redact exclude each other; give one of them", "only_redact")
        for key, names in (("keep_visible", self.keep_visible), ("only_redact", self.only_redact)):
            for index, name in enumerate(names):
                if name in names[:index]:
                    raise problem(f"{name} is named twice", key, index)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Everybody who must be enrolled; empty: nobody is recognised on this camera."""
        return self.keep_visible or self.only_redact


class IdentifySettings(Section):
    """How people are recognised, on cameras with identities."""

    gallery: Path = Path("/var/lib/anonymizer/identities")  # file with the encrypted templates of `anonymizer enroll`
    key_file: Path = Path("/var/lib/anonymizer/identities.key")
    min_face_px: int = Field(default=56, ge=48, le=1000)  # height of the smallest face that may stay visible
    false_accept_rate: float = Field(default=0.0001, ge=0.00001, le=0.01)  # of one vote for one person
    interval_ms: int = Field(default=120, ge=0, le=300)  # between two votes about a face

    @model_validator(mode="after")
    def _two_files(self) -> Self:
        if self.gallery == self.key_file:
            raise problem("is the gallery itself, which would overwrite its own key; name another file", "key_file")
        return self
