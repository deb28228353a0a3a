"""Scores of clips as a text table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from anonymizer.evaluate.video.leaks import ClipScores, Share
from anonymizer.results import markdown_table
from anonymizer.types import Target


def text_table(scores: Sequence[ClipScores]) -> str:
    """A row for each figure, a column for each way of masking; needs at least one."""
    first = scores[0]
    people = f"{first.target.name.lower()}s"
    sizes = ", ".join(f"{share.whole} of {heights} px" for heights, share in first.by_height.items())
    caption = f"{first.frames - first.withheld} frames, {first.leak.whole} {people} in them ({sizes})"
    columns = [_column(score) for score in scores]
    rows = [["", *(score.name for score in scores)]]
    rows += [[label, *(column[label] for column in columns)] for label in columns[0]]
    return "\n".join([caption, "", *markdown_table(rows)])


def _column(scores: ClipScores) -> dict[str, str]:
    """Figures by label, in order of the table."""
    identities = scores.identities
    column = {"leak": _percent(scores.leak.value)}
    if scores.target is Target.PERSON:
        column["leak of heads"] = _percent(scores.head_leak.value)
    column |= {f"leak of {heights} px": _percent(share.value) for heights, share in scores.by_height.items()}
    return column | {
        "ever bare": _of(scores.leaked_tracks),
        "longest bare": f"{scores.longest.frames} frames, {scores.longest.duration_ns / 1e6:.0f} ms",
        "bare in gaps up to 1 s": _of(scores.in_gaps),
        "over-mask": _percent(scores.over_mask),
        "masked whole": ", ".join(f"{count} {reason}" for reason, count in scores.whole_frames.items()) or "none",
        "never shown": str(scores.withheld),
        "id switches": "-" if identities is None else str(identities.switches),
        "MOTA": "-" if identities is None else _percent(identities.mota),
        "IDF1": "-" if identities is None else _percent(identities.idf1),
        "audit findings": "-" if scores.audit is None else f"{_of(scores.audit)} pictures",
        "delay": _ms(scores.delay_ms),
        "CPU a frame": _ms(scores.cpu_ms),
    }


def _of(share: Share) -> str:
    return f"{share.part} of {share.whole}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def as_json(scores: Sequence[ClipScores]) -> str:
    """A list, one object a way of masking; shares 0-1, null where they mean nothing."""
    return json.dumps([_object(each) for each in scores], indent=1) + "\n"


def _object(scores: ClipScores) -> dict[str, object]:
    identities = scores.identities
    return {
        "name": scores.name,
        "target": scores.target.name.lower(),
        "frames": scores.frames,
        "withheld": scores.withheld,
        "truths": scores.leak.whole,
        "leak": scores.leak.value,
        "head_leak": scores.head_leak.value if scores.target is Target.PERSON else None,
        "leak_by_height_px": {str(heights): share.value for heights, share in scores.by_height.items()},
        "tracks": scores.leaked_tracks.whole,
        "leaked_tracks": scores.leaked_tracks.value,
        "longest_bare_frames": scores.longest.frames,
        "longest_bare_ms": scores.longest.duration_ns / 1e6,
        "gap_frames": scores.in_gaps.whole,
        "gap_frames_bare": scores.in_gaps.part,
        "over_mask": scores.over_mask,
        "whole_frames": {str(reason): count for reason, count in scores.whole_frames.items()},
        "id_switches": None if identities is None else identities.switches,
        "mota": None if identities is None else identities.mota,
        "idf1": None if identities is None else identities.idf1,
        "audited": None if scores.audit is None else scores.audit.whole,
        "audit_findings": None if scores.audit is None else scores.audit.part,
        "delay_ms": scores.delay_ms,
        "cpu_ms": scores.cpu_ms,
        "leaks_by_frame": [list(clip) for clip in scores.leaks_by_frame],
    }
