"""Explains schema errors in plain words, with the nearest valid key or choice; values are never repeated."""

from __future__ import annotations

import difflib
import enum
import re
import types
import typing
from collections.abc import Iterable

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from anonymizer.settings.document import Loc
from anonymizer.settings.schema import Settings
from anonymizer.settings.section import Section

_WORDS = {
    "missing": "is missing; this key is required",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be one value, not a list or section",
    "path_type": "must be the path of a file",
    "tuple_type": "must be a list; put '- ' before each entry",
    "dict_type": "must be keys with values, each indented on a line of its own",
    "model_type": "must be a section with keys of its own; check the indentation",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be {le:g} or less",
    "string_pattern_mismatch": "use only a-z, 0-9, - and _, beginning with a letter or digit, at most 63 characters",
}

_SECRETS = {"password", "webhook_url"}  # nothing of a section with one of these keys may be repeated


def explain(error: ErrorDetails, value: object) -> tuple[Loc, str]:
    """Place and text of one pydantic error about Settings; `value` only serves to guess what was meant."""
    loc, kind, context = error["loc"], error["type"], error.get("ctx", {})
    if kind == "rule":
        return (*loc, *context["path"]), context["text"]
    if kind == "extra_forbidden":
        return loc, _unknown_key(loc)
    if kind == "enum":
        return loc, _unknown_choice(loc, value)
    return loc, _WORDS.get(kind, "has a value that is not allowed").format(**context)


def unknown_empty(loc: Loc, *, between_braces: bool) -> tuple[Loc, str] | None:
    """Place and text for an unknown key without a value, which the schema never sees; None if the key is known.

    Between braces, a comma or a missing blank turns part of a value into such a key. It may be part of a password, so
    in sections with secrets it is repeated only if it resembles a known key.
    """
    try:
        section = _annotation(loc[:-1])
    except (KeyError, IndexError, AttributeError):
        return None  # below a key that is reported itself
    if typing.get_origin(section) is dict:
        return loc, "has no value; write 'key: value', with a blank after the ':'"
    if not _is_section(section) or loc[-1] in section.model_fields:
        return None
    key, *value = re.split(r"[:=\s]", str(loc[-1]), maxsplit=1)
    here, nearest = (*loc[:-1], key), _nearest(key, section.model_fields)
    if nearest is not None and value:
        return here, f"no value was found; write {nearest!r}, a ':', a blank and the value"
    if nearest is None and between_braces and section.model_fields.keys() & _SECRETS:
        known = ", ".join(section.model_fields)
        return loc[:-1], f"holds a word without a value; put a value with a ',' in quotes; the keys here are {known}"
    if between_braces and key.isdecimal():
        return here, "unknown key; a number has a decimal point, not a comma"
    return here, _unknown_key(here)


def _unknown_key(loc: Loc) -> str:
    section, key = _annotation(loc[:-1]), str(loc[-1])
    known = list(section.model_fields) if _is_section(section) else []
    nearest = _nearest(key, known)
    if nearest is not None:
        return f"unknown key; did you mean {nearest!r}?"
    homes = [name for name, home in _sections() if key in home.model_fields]
    if homes:
        return f"unknown key here; it belongs to {' or '.join(homes)}"
    return f"unknown key; the keys here are {', '.join(known)}"


def _unknown_choice(loc: Loc, value: object) -> str:
    choices = _annotation(loc)
    known = [str(choice.value) for choice in choices] if _is_enum(choices) else []
    nearest = _nearest(str(value), known)
    hint = "" if nearest is None else f"; did you mean {nearest!r}?"
    return f"must be one of {', '.join(known)}{hint}"


def _nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant; None if none resembles it."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)


def _sections() -> list[tuple[str, type[Section]]]:
    """Every section of the file with its name."""
    found: list[tuple[str, type[Section]]] = [("the top level", Settings)]
    for name in Settings.model_fields:
        inner = _annotation((name, 0)) if name == "cameras" else _annotation((name,))
        found.append(("each camera" if name == "cameras" else name, inner))
    return found


def _annotation(loc: Loc) -> typing.Any:
    """The type of a place in the schema."""
    annotation: typing.Any = Settings
    for part in loc:
        if isinstance(part, int):
            annotation = typing.get_args(annotation)[0]
        else:
            annotation = annotation.model_fields[part].annotation
        if typing.get_origin(annotation) in (types.UnionType, typing.Union):
            annotation = next(arg for arg in typing.get_args(annotation) if arg is not type(None))
    return annotation


def _is_section(annotation: object) -> typing.TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_enum(annotation: object) -> typing.TypeGuard[type[enum.Enum]]:
    return isinstance(annotation, type) and issubclass(annotation, enum.Enum)
