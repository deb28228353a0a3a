"""Outcomes as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from anonymizer.attack.attackers import ATTACKS
from anonymizer.attack.rates import Rate
from anonymizer.attack.trial import TOP, Outcome
from anonymizer.results import markdown_table


@dataclass(frozen=True, slots=True)
class Population:
    """The people whom the attackers had to tell apart."""

    persons: int
    faces: int

    @property
    def chance(self) -> float:
        """The share that guessing names right."""
        return 1 / self.persons


def table(outcomes: Sequence[Outcome], population: Population) -> str:
    """Markdown, a row for each look and size: percent named first, 95 % interval, in brackets among the first TOP."""
    rows = [
        ["masked by", "face px", *(f"({letter})" for letter in ATTACKS), "(a)-(c) against chance"],
        *([each.look, str(each.height_px), *_cells(each), _verdict(each, population.chance)] for each in outcomes),
    ]
    return "\n".join([caption(population), "", *markdown_table(rows)])


def caption(population: Population) -> str:
    """The text above the table."""
    attacks = ", ".join(f"({letter}) {text}" for letter, text in ATTACKS.items())
    return (
        f"{population.faces} faces of {population.persons} people. Percent named right at once, 95 % interval, and in "
        f"brackets among the first {TOP}; whoever guesses has {100 * population.chance:.1f} "
        f"({100 * min(TOP * population.chance, 1):.0f}). Attacks: {attacks}."
    )


def _cells(outcome: Outcome) -> list[str]:
    return [_cell(outcome.first[letter], outcome.top[letter]) for letter in ATTACKS]


def _cell(first: Rate, top: Rate) -> str:
    return f"{100 * first.share:.0f}, {100 * first.low:.0f}-{100 * first.high:.0f} ({100 * top.share:.0f})"


def _verdict(outcome: Outcome, chance: float) -> str:
    better = [letter for letter in "abc" if not outcome.first[letter].is_chance(chance)]
    return f"better: {', '.join(better)}" if better else "no better"


def as_json(outcomes: Sequence[Outcome], population: Population) -> str:
    """The population, its chance, and an object for each outcome; shares 0-1."""
    content = {**asdict(population), "chance": population.chance, "outcomes": [asdict(each) for each in outcomes]}
    return json.dumps(content, indent=1) + "\n"
