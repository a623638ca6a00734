"""``frontier.csv``, ``frontier_by_category.csv``, ``baselines.csv``, ``parts.csv``, ``certificate.csv``, in all digits.

Numbers are written in full precision; ``inf`` stands for no limit, ``nan`` for a figure that does not exist
or a limit that differs between categories. A list in a cell is joined by ``' + '``.
"""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moe2_pl.files import replacing
from moe2_pl.planning import BaselineRow, FrontierRow, PartRow
from moe2_pl.report._format import listing

__all__ = [
    "BASELINE",
    "CERTIFICATE",
    "PART",
    "Table",
    "frontier_table",
    "read_frontier",
    "write_baselines",
    "write_certificate",
    "write_frontier",
    "write_frontier_by_category",
    "write_parts",
]

if TYPE_CHECKING:
    from moe2_pl.certificate import Certificate

Cell = str | int | float
Table = tuple[list[str], list[list[Cell]]]

_BUDGET = ("budget", "energy_budget_j", "latency_budget_s")
_FRONTIER = (
    *_BUDGET,
    *(
        "status",
        "planned",
        "gap",
        "experts",
        "devices",
        "score",
        "score_half_width",
        "energy_j",
        "latency_s",
        "overloaded",
    ),
    *("best_single", "best_single_score", "lookup_score", "lookup_on_subset_score", "family_oracle_score"),
)
_SPAN = ("latency_low_s", "latency_high_s")
_UTILISATION = "utilisation_"
CERTIFICATE = (
    *("kind", "label", "experts", "queries", "seeds", "reused", "retrained", "objective"),
    *("regret", "low", "high", "same_regret", "same_low", "same_high"),
)
BASELINE = ("baseline", "budget", "score", "energy_j", "latency_s", "experts", "subsets")
PART = (
    *("change", "devices", "experts", "whole", "required", "room", "idle_j", "unserved"),
    *("difference", "half_width", "energy_j", "latency_s", "overloads"),
)
_CATEGORY = ("queries", "allowed", "score", "lookup_score", "energy_j", "latency_s")


def write_frontier(rows: Sequence[FrontierRow], path: Path) -> Path:
    """Writes one line a budget, with the columns of :func:`frontier_table`.

    Args:
        rows: presets, the chosen budget, the grid, in the order of the file.
        path: where to write.

    Returns:
        ``path``.
    """
    return _write(frontier_table(rows), path)


def read_frontier(path: Path) -> list[FrontierRow]:
    """Reads what :func:`write_frontier` wrote; what it left out (categories, prices) is empty.

    Args:
        path: the file.

    Returns:
        One row a budget, in the order of the file.
    """
    with path.open(newline="", encoding="utf-8") as file:
        return [_frontier_row(line) for line in csv.DictReader(file)]


def _frontier_row(line: Mapping[str, str]) -> FrontierRow:
    low, high = (float(line[name]) for name in _SPAN)
    feasible = line["status"] != "infeasible"
    return FrontierRow(
        utilisation={
            name.removeprefix(_UTILISATION): float(value)
            for name, value in line.items()
            if name.startswith(_UTILISATION) and feasible and float(value) > 0
        },
        latency_range_s=(low, high),
        **{name: _parsed(name, line[name]) for name in _FRONTIER if name != "overloaded"},
    )


def _parsed(column: str, text: str) -> Any:
    if column in ("experts", "devices"):
        return tuple(text.split(" + ")) if text else ()
    return text if column in ("budget", "status", "best_single") else float(text)


def write_frontier_by_category(rows: Sequence[FrontierRow], path: Path) -> Path:
    """Writes one line per budget and category; an infeasible budget has none.

    ``budget``, ``energy_budget_j`` and ``latency_budget_s`` are those of ``frontier.csv``; the category's own
    limits follow. A column ``share_<expert>`` an expert holds the share of the category's queries that it
    answers.

    Args:
        rows: as for :func:`write_frontier`.
        path: where to write.

    Returns:
        ``path``.
    """
    experts = sorted({name for row in rows for part in row.categories for name in part.shares})
    header = [*_BUDGET, "category", "category_energy_budget_j", "category_latency_budget_s", *_CATEGORY]
    lines = [
        [
            *_cells(row, _BUDGET),
            *(part.category, part.energy_budget_j, part.latency_budget_s),
            *_cells(part, _CATEGORY),
            *(part.shares.get(name, 0.0) for name in experts),
        ]
        for row in rows
        for part in row.categories
    ]
    return _write((header + [f"share_{name}" for name in experts], lines), path)


def write_baselines(rows: Sequence[BaselineRow], path: Path) -> Path:
    """Writes one line per baseline and budget, with the attributes of :class:`BaselineRow`.

    Args:
        rows: baselines and MoE².
        path: where to write.

    Returns:
        ``path``.
    """
    return _write(([*BASELINE], [_cells(row, BASELINE) for row in rows]), path)


def write_parts(rows: Sequence[PartRow], path: Path) -> Path:
    """Writes one line per device or expert that the chosen deployment could do without or have beside it, with the
    attributes of :class:`PartRow`.

    Args:
        rows: the parts.
        path: where to write.

    Returns:
        ``path``.
    """
    return _write(([*PART], [_cells(row, PART) for row in rows]), path)


def write_certificate(certificate: "Certificate", path: Path) -> Path:
    """Writes one line per measured subset, with the attributes of :class:`moe2_pl.certificate.RegretRow`.

    Args:
        certificate: what was measured.
        path: where to write.

    Returns:
        ``path``.
    """
    lines = [_cells(row, CERTIFICATE) for row in certificate.rows]
    return _write(([*CERTIFICATE], lines), path)


def frontier_table(rows: Sequence[FrontierRow]) -> Table:
    """Flattens rows to a header and one line a budget.

    Most columns are the attributes of :class:`FrontierRow`. ``latency_low_s`` and ``latency_high_s`` are its
    ``latency_range_s``. ``max_utilisation`` is the largest ρ, and each device and shared link has a column
    ``utilisation_<name>``: 0 where the subset leaves it off, NaN where the budget is infeasible.
    """
    devices = sorted({name for row in rows for name in row.utilisation})
    header = [*_FRONTIER, *_SPAN, "max_utilisation", *(f"{_UTILISATION}{name}" for name in devices)]
    lines = [
        [
            *_cells(row, _FRONTIER),
            *row.latency_range_s,
            max(row.utilisation.values(), default=math.nan),
            *(row.utilisation.get(name, 0.0 if row.feasible else math.nan) for name in devices),
        ]
        for row in rows
    ]
    return header, lines


def _cells(row: object, columns: Iterable[str]) -> list[Cell]:
    values = (getattr(row, name) for name in columns)
    return [listing(value) if isinstance(value, tuple) else value for value in values]


def _write(table: Table, path: Path) -> Path:
    header, lines = table
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)
    return path
