"""Scores as a text table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from anonymizer.evaluate.compare import CONFIDENCE, Comparison, Difference, Interval
from anonymizer.evaluate.precision import RECALLS
from anonymizer.evaluate.scores import BinScore, Scores
from anonymizer.results import markdown_table
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
    labels = ", ".join(f"{score.truths} of {score.heights}" for score in first.bins)
    caption = (
        f"{first.pictures} pictures, {first.overall.truths} {first.target.name.lower()}s by height in px: {labels}"
    )
    return "\n".join([caption, "", *markdown_table(rows)])


def difference_table(comparisons: Sequence[Comparison]) -> str:
    """Two rows a detector, AP50 and leak less those of the reference; empty if there is nothing to compare."""
    if not comparisons:
        return ""
    first = comparisons[0]
    caption = (
        f"Less {first.reference}, in points; in brackets {100 * CONFIDENCE:.0f} % of {first.resamples} resamplings of "
        f"the pictures (seed {first.seed}): where they hold 0, chance may have made the difference"
    )
    rows = [["", "all", *(str(each.heights) for each in first.bins)]]
    for each in comparisons:
        columns = (each.overall, *each.bins)
        rows.append([f"{each.name}, AP50", *(_points(column.average_precision) for column in columns)])
        rows.append([f"{each.name}, leak", *(_points(column.leak) for column in columns)])
    return "\n".join([caption, "", *markdown_table(rows)])


def _points(interval: Interval | None) -> str:
    return "-" if interval is None else str(interval)


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


def as_json(scores: Sequence[Scores], comparisons: Sequence[Comparison]) -> str:
    """A list, one object a detector; shares 0-1, null where they mean nothing or nothing is compared."""
    by_name = {each.name: each for each in comparisons}
    return json.dumps([_object(each, by_name.get(each.name)) for each in scores], indent=1) + "\n"


def _object(scores: Scores, comparison: Comparison | None) -> dict[str, object]:
    return {
        "name": scores.name,
        "target": scores.target.name.lower(),
        "threshold": scores.threshold,
        "pictures": scores.pictures,
        "over_mask": scores.over_mask,
        "cpu_ms": scores.cpu_ms,
        "overall": _bin(scores.overall),
        "by_height_px": [_bin(each) for each in scores.bins],
        "curve": {"recall": RECALLS.round(2).tolist(), "precision": list(scores.overall.curve.precision)},
        "compared": None if comparison is None else _comparison(comparison),
    }


def _comparison(comparison: Comparison) -> dict[str, object]:
    return {
        "with": comparison.reference,
        "resamples": comparison.resamples,
        "seed": comparison.seed,
        "confidence": CONFIDENCE,
        "overall": _difference(comparison.overall),
        "by_height_px": [_difference(each) for each in comparison.bins],
    }


def _difference(difference: Difference) -> dict[str, object]:
    return {
        "height_px": str(difference.heights),
        "ap50": difference.average_precision and asdict(difference.average_precision),
        "leak": difference.leak and asdict(difference.leak),
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
