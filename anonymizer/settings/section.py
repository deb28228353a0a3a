"""The base class of every section of the settings, and the error by which a section reports a mistake."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


def problem(text: str, *path: str | int) -> PydanticCustomError:
    """An error about the key at `path`, counted from the section that raises it; the loader adds the line."""
    return PydanticCustomError("rule", "{text}", {"text": text, "path": path})


class Section(BaseModel):
    """A YAML mapping: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    def over(self, base: Self) -> Self:
        """This section, with the values of `base` for the keys that were not given."""
        given = {}
        for name in self.model_fields_set:
            value, below = getattr(self, name), getattr(base, name)
            given[name] = value.over(below) if isinstance(value, Section) and isinstance(below, Section) else value
        return base.model_copy(update=given)
