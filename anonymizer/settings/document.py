"""Reads YAML into plain lists, mappings and texts with their lines, and fills in `${NAME}` from the environment.

Values stay texts, so that `off`, `0123` and `12:30` are not turned into other things; the schema decides what is a
number. An empty value leaves its key at the default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

Loc: TypeAlias = tuple[str | int, ...]
Value: TypeAlias = "str | list[Value] | dict[str, Value]"

PLACEHOLDER = "unset"  # in place of a value that could not be read, which is reported as a problem

_MAX_BYTES = 256 * 1024
_MAX_NODES = 20_000  # aliases can repeat nodes without bound
_MAX_DEPTH = 20
_NULL = "tag:yaml.org,2002:null"
_TOO_DEEP = "too many or too deeply nested values; look for a wrong *alias, or brackets that are not closed"
_HOLDS_NO_TEXT = "holds a character that no text has, such as \\0 or \\ud800; leave it out"
_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # zero bytes end texts early; bytes that are not UTF-8 become surrogates
_VARIABLE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\})?")

# A part of the YAML library's message -> what to do. The message itself may quote a value, maybe a password.
_SYNTAX = (
    (
        "cannot start any token",
        "this character cannot begin a value; put the value in quotes, indent by spaces, not tabs",
    ),
    (
        "mapping values are not allowed",
        "a ':' too many, or the line is indented wrongly; quote a value that holds ': '",
    ),
    ("could not find expected ':'", "a key without ':'; write 'key: value'"),
    ("undefined alias", "a value that begins with * must be in quotes"),
    ("expected alphabetic or numeric", "a value that begins with * or & must be in quotes"),
    ("unexpected end of stream", "a quote was opened and never closed"),
    ("expected <block end>", "the indentation does not match the lines above"),
    ("expected ',' or ']'", "a list that was opened with '[' is not closed by ']'"),
    ("expected ',' or '}'", "a '{' is not closed by '}'; put a value that begins with '{' in quotes"),
    ("expected a single document", "a second '---'; one file holds one document"),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the file."""

    line: int  # counted from 1
    loc: Loc  # keys and list indices from the top; empty: the file itself
    text: str

    @property
    def key(self) -> str:
        """The place as people write it: `cameras[0].url`."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.loc).lstrip(".")


@dataclass(slots=True)
class Document:
    """What the file holds; where there are problems, `data` has placeholders and can still be checked."""

    data: dict[str, Value] = field(default_factory=dict)
    lines: dict[Loc, int] = field(default_factory=dict)
    empty: dict[Loc, bool] = field(default_factory=dict)  # keys without a value, not in `data`; True: between { and }
    problems: list[Problem] = field(default_factory=list)

    def line(self, loc: Loc) -> int:
        """Line of the key, or of the innermost section around it that is in the file."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 1)

    def report(self, loc: Loc, text: str, *, line: int | None = None) -> None:
        """Add a problem, by default on the line of its place, unless that place has one already."""
        if all(problem.loc != loc for problem in self.problems):
            self.problems.append(Problem(self.line(loc) if line is None else line, loc, text))


def parse(raw: bytes, environ: Mapping[str, str]) -> Document:
    """Read the content of a YAML file; mistakes in it become problems of the document."""
    document = Document()
    if len(raw) > _MAX_BYTES:
        document.report((), f"larger than {_MAX_BYTES // 1024} KiB; this is no settings file")
        return document
    try:
        root = yaml.compose(raw.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        document.problems.append(Problem(line, (), "not UTF-8 text; save the file as UTF-8"))
    except yaml.MarkedYAMLError as error:
        document.problems.append(_syntax_problem(error))
    except yaml.YAMLError:
        document.report((), "holds control characters; save the file as plain text")
    except RecursionError:
        document.report((), _TOO_DEEP)
    else:
        _Reader(document, environ).read(root)
    return document


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    said = f"{error.context or ''} {error.problem or ''}"
    plain = next((help_ for words, help_ in _SYNTAX if words in said), "this is no valid YAML")
    return Problem(mark.line + 1 if mark else 1, (), plain)


def _is_name_alone(node: yaml.Node) -> bool:
    """Whether a value is missing and a YAML anchor, `&name`, stands alone in its place."""
    mark = node.start_mark
    return str(mark.buffer or "").startswith("&", mark.pointer)


class _TooMuchError(Exception):
    """The document is too large or too deep to be a settings file."""


class _Reader:
    """Walks the YAML nodes once and fills a document."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ
        self._nodes = 0

    def read(self, root: yaml.Node | None) -> None:
        """Fill the document from the root node."""
        if root is None or root.tag == _NULL:
            return
        if not isinstance(root, yaml.MappingNode):
            self._document.report((), "must be keys with values, such as 'cameras:'")
            return
        try:
            self._document.data = self._mapping(root, ())
        except _TooMuchError:
            self._document.report((), _TOO_DEEP)

    def _value(self, node: yaml.Node, loc: Loc) -> Value | None:
        self._nodes += 1
        if self._nodes > _MAX_NODES or len(loc) > _MAX_DEPTH:
            raise _TooMuchError
        if not node.tag.startswith("tag:yaml.org,2002:"):
            self._document.report(loc, "a value that begins with ! must be in quotes")
            return PLACEHOLDER
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return self._sequence(node, loc)
        if node.tag != _NULL:
            return self._expand(str(node.value), loc)
        if _is_name_alone(node):
            self._document.report(loc, "a value that begins with & must be in quotes")
        return None

    def _sequence(self, node: yaml.SequenceNode, loc: Loc) -> list[Value]:
        values: list[Value] = []
        for index, item in enumerate(node.value):
            here = (*loc, index)
            self._document.lines[here] = item.start_mark.line + 1
            value = self._value(item, here)
            if value is None:
                self._document.report(here, "an empty entry; remove its '-' or fill it in")
            values.append(PLACEHOLDER if value is None else value)
        return values

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._document.problems.append(Problem(line, loc, "a key must be a plain word"))
                continue
            key = str(key_node.value)
            if _NO_TEXT.search(key):
                self._document.problems.append(Problem(line, loc, f"a key {_HOLDS_NO_TEXT}"))
                continue
            here = (*loc, key)
            if here in self._document.lines:
                text = f"given twice; the first is on line {self._document.lines[here]}"
                self._document.problems.append(Problem(line, here, text))
                continue
            self._document.lines[here] = line
            if key == "<<":
                self._document.report(here, "merging is not supported; write the keys out")
                continue
            value = self._value(value_node, here)
            if value is None:
                self._document.empty[here] = bool(node.flow_style)
            else:
                values[key] = value
        return values

    def _expand(self, text: str, loc: Loc) -> str:
        def fill(match: re.Match[str]) -> str:
            name, default = match["name"], match["default"]
            if match[0] == "$${":
                return "${"
            if name is None:
                self._document.report(loc, "'${' must be followed by NAME}; write '$${' for the characters themselves")
            elif name in self._environ:
                if not _NO_TEXT.search(self._environ[name]):
                    return self._environ[name]
                self._document.report(loc, f"the environment variable {name} is not UTF-8 text; set it anew")
            elif default is not None:
                return str(default)[2:]
            else:
                text = "is not set; /etc/anonymizer/environment counts for the service alone, from its next restart on"
                self._document.report(loc, f"the environment variable {name} {text}")
            return PLACEHOLDER

        if _NO_TEXT.search(text):
            self._document.report(loc, _HOLDS_NO_TEXT)
            return PLACEHOLDER
        return _VARIABLE.sub(fill, text)
