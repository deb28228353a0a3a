"""Scores as a text table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from anonymizer.evaluate.precision import RECALLS
from anonymizer.evaluate.scores import BinScore, Scores
from anonymizer.types import Target


def text_table(scores: Sequence[Scores]) -> str:
    """One row a detector: a figure for all heights, then by height in pixels; percentages but for ms."""
    if not scores:
        return ""
    first = scores[0]
    person = first.target is Target.PERSON
    names = [str(score.heights) for score in first.bins]
    sizes = " / ".join(names)
    header = ["", "at", f"AP50 ({sizes})", f"recall ({sizes})", f"leak ({sizes})"]
    header += [f"head leak ({sizes})"] if person else []
    header += ["over-mask", "CPU ms"]
    rows = [header, *(_row(score, with_heads=person) for score in scores)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    labels = ", ".join(f"{score.truths} of {score.heights}" for score in first.bins)
    caption = (
        f"{first.pictures} pictures, {first.overall.truths} {first.target.name.lower()}s by height in px: {labels}"
    )
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([caption, "", *lines])


def _row(scores: Scores, *, with_heads: bool) -> list[str]:
    every = (scores.overall, *scores.bins)
    row = [scores.name, "" if scores.threshold is None else f"{scores.threshold:g}"]
    row += [_figures([each.average_precision for each in every]), _figures([each.recall for each in every])]
    row += [_figures([each.leak for each in every])]
    row += [_figures([each.head_leak for each in every])] if with_heads else []
    return [*row, _percent(scores.over_mask), "-" if scores.cpu_ms is None else f"{scores.cpu_ms:.1f}"]


def _figures(shares: Sequence[float | None]) -> str:
    overall, *bins = map(_percent, shares)
    return overall if overall == "-" else f"{overall} ({' / '.join(bins)})"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def as_json(scores: Sequence[Scores]) -> str:
    """A list, one object a detector; shares 0-1, null where they mean nothing."""
    return json.dumps([_object(each) for each in scores], indent=1) + "\n"


def _object(scores: Scores) -> dict[str, object]:
    return {
        "name": scores.name,
        "target": scores.target.name.lower(),
        "threshold": scores.threshold,
        "pictures": scores.pictures,
        "over_mask": scores.over_mask,
        "cpu_ms": scores.cpu_ms,
        "overall": _bin(scores.overall),
        "by_height_px": [_bin(each) for each in scores.bins],
        "curve": {"recall": RECALLS.round(2).tolist(), "precision": list(scores.curve.precision)},
    }


def _bin(score: BinScore) -> dict[str, object]:
    return {
        "height_px": str(score.heights),
        "truths": score.truths,
        "ap50": score.average_precision,
        "recall": score.recall,
        "leak": score.leak,
        "head_leak": score.head_leak,
    }
