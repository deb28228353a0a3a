"""The house rules that a machine can check, read from the syntax trees of all modules."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAX_LINES = 400

LEAF, PURE, EDGE, FLOW, TOP = range(5)
# The longest prefix decides. Edges of one group may import each other, edges of different groups may not.
LAYERS = {
    "anonymizer": LEAF,
    "anonymizer.types": LEAF,
    "anonymizer.errors": LEAF,
    "anonymizer.clock": LEAF,
    "anonymizer.backoff": LEAF,
    "anonymizer.rate": LEAF,
    "anonymizer.lifecycle": LEAF,
    "anonymizer.ports": LEAF,
    "anonymizer.gstreamer": LEAF,
    "anonymizer.polygon": LEAF,
    "anonymizer.pose": LEAF,
    "anonymizer.arguments": LEAF,
    "anonymizer.results": LEAF,
    "anonymizer.settings.address": LEAF,
    "anonymizer.settings.identities": LEAF,
    "anonymizer.settings.schema": LEAF,
    "anonymizer.settings.section": LEAF,
    "anonymizer.geometry": PURE,
    "anonymizer.exposure": PURE,
    "anonymizer.stills": PURE,
    "anonymizer.detect.nms": PURE,
    "anonymizer.detect.letterbox": PURE,
    "anonymizer.detect.tiles": PURE,
    "anonymizer.detect.reach": PURE,
    "anonymizer.detect.forms": PURE,
    "anonymizer.detect.reform": PURE,
    "anonymizer.detect.rota": PURE,
    "anonymizer.detect.families": PURE,
    "anonymizer.track": PURE,
    "anonymizer.policy": PURE,
    "anonymizer.redact": PURE,
    "anonymizer.capture": EDGE,
    "anonymizer.attack": FLOW,
    "anonymizer.identify": EDGE,
    "anonymizer.identify.chip": PURE,
    "anonymizer.demo": EDGE,
    "anonymizer.detect": EDGE,
    "anonymizer.encode": EDGE,
    "anonymizer.publish": EDGE,
    "anonymizer.zoo": EDGE,
    "anonymizer.download": EDGE,
    "anonymizer.observe": EDGE,
    "anonymizer.settings": EDGE,
    "anonymizer.evaluate": FLOW,
    "anonymizer.pipeline": FLOW,
    "anonymizer.web": FLOW,
    "anonymizer.app": TOP,
    "anonymizer.audit": TOP,
    "anonymizer.detectors": TOP,
    "anonymizer.identities": TOP,
    "anonymizer.outputs": TOP,
    "anonymizer.service": TOP,
    "anonymizer.silhouettes": TOP,
    "anonymizer.studio": TOP,
    "anonymizer.benchmark": TOP,
    "anonymizer.check": TOP,
    "anonymizer.cli": TOP,
    "anonymizer.probe": TOP,
    "anonymizer.models": TOP,
    "anonymizer.quarantine": TOP,
    "anonymizer.quarantine_child": TOP,
    "anonymizer.__main__": TOP,
}
OUTWARD = ("anonymizer.encode", "anonymizer.publish", "anonymizer.web")
TRAINING_ONLY = {"torch", "tensorflow", "keras", "jax", "ray", "onnx", "scripts", "tests"}
# they measure and try out everything, so they may name the root
WHOLE_PROGRAM = ("scripts.bench", "scripts.fuzz", "scripts.smoke", "scripts.train")
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


@dataclass(frozen=True)
class Module:
    """One parsed source file."""

    name: str
    text: str
    package: bool = False  # the __init__ of one

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def imports(self) -> Iterator[tuple[int, str, str]]:
        """Line, module and imported name ('' for `import module`) of every import, wherever it stands."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}:{node.lineno}: relative import"
                yield from ((node.lineno, node.module or "", alias.name) for alias in node.names)


def module_of(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = parts[-1] == "__init__"
    return Module(".".join(parts[:-1] if package else parts), path.read_text(encoding="utf-8"), package)


RUNTIME = [module_of(path) for path in sorted((ROOT / "anonymizer").rglob("*.py"))]
SCRIPTS = [module_of(path) for path in sorted((ROOT / "scripts").rglob("*.py"))]
NAMES = {module.name for module in RUNTIME}


def prefix_of(name: str) -> str:
    """The row of LAYERS that a module falls under."""
    fitting = (prefix for prefix in LAYERS if f"{name}.".startswith(f"{prefix}."))
    return max(fitting, key=len)


# --- rules: a module in, its violations out ---------------------------------------------------------------------


def imports_upward_or_sideways(module: Module) -> Iterator[str]:
    """Imports run downward only, and edges never import each other."""
    here = prefix_of(module.name)
    for line, source, name in module.imports():
        if source.partition(".")[0] != "anonymizer":
            continue
        target = f"{source}.{name}" if f"{source}.{name}" in NAMES else source
        there = prefix_of(target)
        if module.package and any(prefix.startswith(f"{module.name}.") for prefix in LAYERS):
            yield f"line {line}: this package spans layers, so its __init__ imports nothing"
        elif LAYERS[there] > LAYERS[here]:
            yield f"line {line}: imports {target}, a higher layer"
        elif LAYERS[there] == LAYERS[here] in (EDGE, FLOW) and there != here:
            yield f"line {line}: imports {target}, its neighbour"


def imports_what_only_training_needs(module: Module) -> Iterator[str]:
    """The runtime needs neither training frameworks nor scripts nor tests."""
    for line, source, _ in module.imports():
        if source.partition(".")[0] in TRAINING_ONLY:
            yield f"line {line}: imports {source}"


def imports_flow_into_scripts(module: Module) -> Iterator[str]:
    """Scripts may import leaves, pure modules and edges."""
    if module.name.startswith(WHOLE_PROGRAM):
        return
    for line, source, name in module.imports():
        if source.partition(".")[0] == "anonymizer":
            target = f"{source}.{name}" if f"{source}.{name}" in NAMES else source
            if LAYERS[prefix_of(target)] > EDGE:
                yield f"line {line}: imports {target}"


def uses_redacted_frame_as_more_than_a_type(module: Module) -> Iterator[str]:
    """Only redact/redactor.py makes a RedactedFrame: elsewhere the name stands in annotations alone."""
    if module.name in ("anonymizer.redact.redactor", "anonymizer.types"):
        return
    allowed: set[int] = set()
    for node in ast.walk(module.tree):
        places: list[ast.AST | None] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            places = [node.returns]
        elif isinstance(node, ast.arg | ast.AnnAssign):
            places = [node.annotation]
        elif isinstance(node, ast.Subscript):
            places = [node.slice]  # Mailbox[RedactedFrame](...)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            places = [node.args[1]]
        allowed |= {id(inner) for place in places if place for inner in ast.walk(place)}
    mentions = False
    for node in ast.walk(module.tree):
        if isinstance(node, ast.alias) and node.name == "RedactedFrame":
            mentions = True
            if node.asname:
                yield f"line {node.lineno}: renames RedactedFrame"
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in allowed:
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name == "RedactedFrame":
                yield f"line {node.lineno}: uses RedactedFrame as a value"
    if mentions:
        yield from copies(module)


def copies(module: Module) -> Iterator[str]:
    """A module that sees redacted frames neither copies nor forges them."""
    for line, source, name in module.imports():
        if source in ("copy", "pickle") or (source == "dataclasses" and name == "replace"):
            yield f"line {line}: imports {source}.{name}"
    harmless: set[int] = set()
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        types = {arg.arg: getattr(arg.annotation, "id", None) for arg in node.args.args}
        for call in (inner for inner in ast.walk(node) if isinstance(inner, ast.Call) and inner.args):
            if types.get(getattr(call.args[0], "id", "")) not in (None, "RedactedFrame"):
                harmless.add(id(call.func))  # dataclasses.replace(frame), frame: Frame
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and id(node) not in harmless:
            owner = getattr(node.value, "id", "")
            if node.attr in ("__class__", "__new__", "__setattr__") or (owner, node.attr) == ("dataclasses", "replace"):
                yield f"line {node.lineno}: uses {owner}.{node.attr}"


def sees_raw_pictures(module: Module) -> Iterator[str]:
    """Nothing outward knows the raw types or where they come from."""
    if not module.name.startswith(OUTWARD):
        return
    for line, source, name in module.imports():
        if source.startswith("anonymizer.capture") or (source == "anonymizer.types" and name in ("Frame", "Planes")):
            yield f"line {line}: imports {source}.{name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr == "Frame":
            yield f"line {node.lineno}: uses .Frame"


def is_too_long(module: Module) -> Iterator[str]:
    """A module says one thing."""
    if len(module.lines) >= MAX_LINES:
        yield f"{len(module.lines)} lines; the limit is {MAX_LINES}"


def has_no_one_sentence_docstring(module: Module) -> Iterator[str]:
    """A module's docstring begins with one sentence."""
    first = (ast.get_docstring(module.tree) or "").partition("\n\n")[0]
    if not first.endswith(".") or re.search(r"[.!?]\s+[A-Z]", first):
        yield f"its docstring begins with {first!r}"


def has_a_vague_name(module: Module) -> Iterator[str]:
    """Names say what is inside."""
    if module.name.rpartition(".")[2] in VAGUE_NAMES:
        yield "its name says nothing"


def sleeps(module: Module) -> Iterator[str]:
    """Waiting is done on an event that a stop interrupts."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("sleep", "usleep"):
                yield f"line {node.lineno}: sleeps"


def uses_global(module: Module) -> Iterator[str]:
    """Every state has an owner."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Global):
            yield f"line {node.lineno}: global {', '.join(node.names)}"


def catches_everything_without_a_reason(module: Module) -> Iterator[str]:
    """A broad except re-raises, or states its reason beside it."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        broad = any(kind is None or getattr(kind, "id", "") in ("Exception", "BaseException") for kind in caught)
        raises = isinstance(node.body[-1], ast.Raise)
        reason = re.sub(r"noqa: BLE001( - )?", "", module.lines[node.lineno - 1].partition("# ")[2])
        if broad and not raises and not reason:
            yield f"line {node.lineno}: catches everything and gives no reason"


Rule = Callable[[Module], Iterator[str]]
RUNTIME_RULES: list[Rule] = [
    imports_upward_or_sideways,
    imports_what_only_training_needs,
    uses_redacted_frame_as_more_than_a_type,
    sees_raw_pictures,
    is_too_long,
    has_no_one_sentence_docstring,
    has_a_vague_name,
    sleeps,
    uses_global,
    catches_everything_without_a_reason,
]
SCRIPT_RULES: list[Rule] = [
    imports_flow_into_scripts,
    uses_redacted_frame_as_more_than_a_type,
    has_no_one_sentence_docstring,
    has_a_vague_name,
    uses_global,
]


@pytest.mark.parametrize("rule", RUNTIME_RULES, ids=lambda rule: rule.__name__)
def test_no_runtime_module(rule: Rule) -> None:
    assert [f"{module.name}: {violation}" for module in RUNTIME for violation in rule(module)] == []


@pytest.mark.parametrize("rule", SCRIPT_RULES, ids=lambda rule: rule.__name__)
def test_no_script(rule: Rule) -> None:
    assert [f"{module.name}: {violation}" for module in SCRIPTS for violation in rule(module)] == []


def test_every_top_level_module_has_a_layer() -> None:
    """A new module must be given its place in the architecture."""
    undecided = {name for name in NAMES if prefix_of(name) == "anonymizer"} - {"anonymizer"}
    assert undecided == set()


# --- the rules find what they are for ---------------------------------------------------------------------------

BAD: list[tuple[Rule, str, str]] = [
    (imports_upward_or_sideways, "anonymizer.types", "import anonymizer.geometry"),
    (imports_upward_or_sideways, "anonymizer.policy", "from anonymizer import zoo"),
    (
        imports_upward_or_sideways,
        "anonymizer.policy",
        "def f():\n    from anonymizer.settings.load import load_settings",
    ),
    (imports_upward_or_sideways, "anonymizer.detect.nms", "from anonymizer.detect.engine import load_engine"),
    (imports_upward_or_sideways, "anonymizer.encode.h264", "from anonymizer.publish.hub import Hub"),
    (imports_upward_or_sideways, "anonymizer.web.pages", "from anonymizer.pipeline.stage import StageThread"),
    (imports_upward_or_sideways, "anonymizer.pipeline.camera", "from anonymizer.app import App"),
    (imports_upward_or_sideways, "anonymizer.publish.x", "import anonymizer.zoo"),
    (imports_what_only_training_needs, "anonymizer.detect.engine", "import tensorflow.lite as tflite"),
    (imports_what_only_training_needs, "anonymizer.app", "from scripts.models import build"),
    (imports_flow_into_scripts, "scripts.x", "from anonymizer.pipeline.camera import CameraCore"),
    (uses_redacted_frame_as_more_than_a_type, "anonymizer.x", "f = RedactedFrame(1)"),
    (uses_redacted_frame_as_more_than_a_type, "anonymizer.x", "f = types.RedactedFrame(1)"),
    (uses_redacted_frame_as_more_than_a_type, "anonymizer.x", "make = RedactedFrame"),
    (uses_redacted_frame_as_more_than_a_type, "anonymizer.x", "from anonymizer.types import RedactedFrame as R"),
    (
        uses_redacted_frame_as_more_than_a_type,
        "anonymizer.x",
        "from dataclasses import replace\nfrom anonymizer.types import RedactedFrame",
    ),
    (
        uses_redacted_frame_as_more_than_a_type,
        "anonymizer.x",
        "from anonymizer.types import RedactedFrame\ndef f(x: RedactedFrame): return dataclasses.replace(x, i420=1)",
    ),
    (
        uses_redacted_frame_as_more_than_a_type,
        "anonymizer.x",
        "from anonymizer.types import RedactedFrame\ndef f(x: RedactedFrame): return object.__setattr__(x, 'i420', 1)",
    ),
    (sees_raw_pictures, "anonymizer.publish.x", "from anonymizer.types import Frame"),
    (sees_raw_pictures, "anonymizer.web.x", "from anonymizer import types\nx: types.Frame"),
    (sees_raw_pictures, "anonymizer.encode.x", "from anonymizer.capture.rtsp import RtspSource"),
    (is_too_long, "anonymizer.x", "x = 1\n" * MAX_LINES),
    (has_no_one_sentence_docstring, "anonymizer.x", "x = 1"),
    (has_no_one_sentence_docstring, "anonymizer.x", '"""Does this. Does that."""'),
    (has_no_one_sentence_docstring, "anonymizer.x", '"""no sentence"""'),
    (has_a_vague_name, "anonymizer.web.utils", ""),
    (sleeps, "anonymizer.x", "import time\ntime.sleep(1)"),
    (uses_global, "anonymizer.x", "def f():\n    global x"),
    (catches_everything_without_a_reason, "anonymizer.x", "try:\n    f()\nexcept:\n    pass"),
    (catches_everything_without_a_reason, "anonymizer.x", "try:\n    f()\nexcept Exception:  # noqa: BLE001\n    pass"),
    (catches_everything_without_a_reason, "anonymizer.x", "try:\n    f()\nexcept (OSError, Exception):\n    pass"),
]


def test_a_package_that_spans_layers_imports_nothing() -> None:
    module = Module("anonymizer.detect", "from anonymizer.detect.nms import nms", package=True)
    assert list(imports_upward_or_sideways(module))


@pytest.mark.parametrize(("rule", "name", "text"), BAD)
def test_a_rule_finds_its_violation(rule: Rule, name: str, text: str) -> None:
    assert list(rule(Module(name, text)))
