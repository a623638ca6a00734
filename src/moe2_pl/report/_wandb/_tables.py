"""What a run found as tables for W&B, whose cells are numbers, words or nothing."""

import math
from collections.abc import Iterable, Sequence

from moe2_pl.planning import Results
from moe2_pl.report._csv import BASELINE, CERTIFICATE, PART, frontier_table
from moe2_pl.report._format import listing

__all__ = ["WandbTable", "tables"]

WandbTable = tuple[list[str | int], list[list[str | int | float | None]]]

_SUMMARY = ("name", "score", "energy_j", "latency_s", "utilisation", "experts", "note")
_CATEGORY = ("queries", "score", "lookup_score", "energy_j", "latency_s", "allowed")


def tables(data: Results) -> dict[str, WandbTable]:
    """Every table of a run by its name, as (columns, lines); one without lines is left out.

    An empty cell of a limit means no limit, or one that differs between categories; of a figure, that there is none:
    browsers cannot read JSON with infinities.
    """
    named = [data.chosen, *(row for row in data.presets if row is not data.chosen)]
    parts = [(row.budget, part) for row in named for part in row.categories]
    columns, lines = frontier_table([*named, *data.grid])
    found = {
        "frontier": _table(columns, lines),
        "summary": _rows(_SUMMARY, data.summary),
        "categories": _table(
            ["budget", "category", *_CATEGORY],
            ([budget, part.category, *_values(part, _CATEGORY)] for budget, part in parts),
        ),
        "routing": _table(
            ["budget", "category", "expert", "share"],
            ([b, part.category, expert, share] for b, part in parts for expert, share in part.shares.items()),
        ),
        "baselines": _rows(BASELINE, data.baselines),
        "parts": _rows(PART, data.parts),
        "calibration": _table(
            ["expert", "predicted", "realised"],
            ([name, predicted, realised] for name, (predicted, realised) in data.calibration.items()),
        ),
        "certificate": _rows(CERTIFICATE, data.certificate.rows if data.certificate else ()),
    }
    return {name: table for name, table in found.items() if table[1]}


def _rows(columns: Sequence[str], rows: Iterable[object]) -> WandbTable:
    return _table(columns, (_values(row, columns) for row in rows))


def _values(row: object, columns: Iterable[str]) -> list[object]:
    return [getattr(row, name) for name in columns]


def _table(columns: Iterable[str], lines: Iterable[Sequence[object]]) -> WandbTable:
    return [*columns], [[_cell(value) for value in line] for line in lines]


def _cell(value: object) -> str | int | float | None:
    if isinstance(value, tuple):
        return listing(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, int) else str(value)
