"""A recommended plan as YAML: printed, or put into a settings file whose comments and layout stay as they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from anonymizer.benchmark.recommend import Plan
from anonymizer.errors import SettingsError

Sections = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class _Edit:
    at: int
    until: int
    text: str


def sections(plan: Plan) -> Sections:
    """The keys that the plan sets, by section; `max_fps` belongs to every camera."""
    return {
        "detect": {
            "face_model": plan.face_model,
            "person_model": plan.person_model,
            "threads": str(plan.threads),
            "reach_px": str(plan.reach_px) if plan.tiles else "null",  # null: the whole picture alone
        },
        "track": {"looks_per_s": "null" if plan.looks_per_s is None else f"{plan.looks_per_s:g}"},
        "encode": {"preset": str(plan.preset)},
    }


def snippet(plan: Plan) -> str:
    """The plan as YAML of its own."""
    lines = [f"# in each camera:   max_fps: {plan.fps:g}"]
    for section, keys in sections(plan).items():
        lines += [f"{section}:", *(f"  {key}: {value}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def write_plan(path: Path, plan: Plan) -> None:
    """Change only the plan's keys in an existing file, or make a new one; whole or not at all.

    Raises SettingsError when the file cannot be read, changed safely or written.
    """
    try:
        if not path.exists():
            path.write_text(snippet(plan), encoding="utf-8")
            return
        with path.open(encoding="utf-8") as stream:
            text = with_plan(stream.read(), plan)
            ends = stream.newlines if isinstance(stream.newlines, str) else None  # as an editor elsewhere left them
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            unfinished.touch(0o600)
            unfinished.write_text(text, encoding="utf-8", newline=ends)
            status = path.stat()
            os.chown(unfinished, status.st_uid, status.st_gid)
            shutil.copymode(path, unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror or error}") from None
    except (ValueError, yaml.YAMLError):
        raise SettingsError(f"{path}: cannot be changed safely; put the printed keys in by hand") from None


def with_plan(text: str, plan: Plan) -> str:
    """The document with the plan's keys, everything else untouched; raises ValueError or YAMLError if that fails."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise ValueError("not a block of keys")
    edits: list[_Edit] = []
    tail = ""
    for section, keys in sections(plan).items():
        pair = _pair(root, section)
        if pair is None:
            tail += f"\n{section}:\n" + "".join(f"  {key}: {value}\n" for key, value in keys.items())
        elif isinstance(pair[1], yaml.MappingNode):
            edits += [_set(text, pair[1], key, value) for key, value in keys.items()]
        elif pair[1].value:
            raise ValueError(f"{section} is no section")
        else:
            after = text.index(":", pair[0].end_mark.index) + 1
            edits.append(_Edit(after, after, "".join(f"\n  {key}: {value}" for key, value in keys.items())))
    for camera in _cameras(root):
        edits.append(_set(text, camera, "max_fps", f"{plan.fps:g}"))
    changed = text
    for edit in sorted(dict.fromkeys(edits), key=lambda edit: edit.at, reverse=True):
        changed = changed[: edit.at] + edit.text + changed[edit.until :]
    changed += tail if changed.endswith("\n") or not tail else f"\n{tail}"
    if yaml.load(changed, Loader=yaml.BaseLoader) != _expected(text, plan):  # noqa: S506 - texts only, no objects
        raise ValueError("something else would change")
    return changed


def _pair(mapping: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    return next(((name, value) for name, value in mapping.value if name.value == key), None)


def _cameras(root: yaml.MappingNode) -> list[yaml.MappingNode]:
    pair = _pair(root, "cameras")
    items = pair[1].value if pair and isinstance(pair[1], yaml.SequenceNode) else []
    return [item for item in items if isinstance(item, yaml.MappingNode)]


def _set(text: str, mapping: yaml.MappingNode, key: str, value: str) -> _Edit:
    pair = _pair(mapping, key)
    if pair is None:
        (first, _), *_ = mapping.value
        if mapping.flow_style:
            return _Edit(first.start_mark.index, first.start_mark.index, f"{key}: {value}, ")
        return _Edit(first.start_mark.index, first.start_mark.index, f"{key}: {value}\n{' ' * first.start_mark.column}")
    name, old = pair
    if old.start_mark.index == old.end_mark.index:  # no value: the default
        after = text.index(":", name.end_mark.index) + 1
        return _Edit(after, after, f" {value}")
    return _Edit(old.start_mark.index, old.end_mark.index, value)


def _expected(text: str, plan: Plan) -> object:
    document = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - texts only, no objects
    for section, keys in sections(plan).items():
        document[section] = {**(document.get(section) or {}), **keys}
    for camera in document.get("cameras") or []:
        camera["max_fps"] = f"{plan.fps:g}"
    return document
