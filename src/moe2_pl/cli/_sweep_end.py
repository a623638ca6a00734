"""The end of a multirun: what its jobs left becomes one table and one page."""

import csv
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from hydra.core.global_hydra import GlobalHydra
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from moe2_pl.cli._multirun import ERROR, JOB
from moe2_pl.cli._sweep_asked import asked_jobs, is_search, never_began
from moe2_pl.cli._sweep_wandb import sync_command
from moe2_pl.errors import MoE2Error
from moe2_pl.files import replacing
from moe2_pl.report import Comparison, JobRow

__all__ = ["SweepSummary", "merge_jobs", "read_comparison"]

# Where a job's files lie or how it is watched is no setting to compare.
_PLACES = ("paths.", "hydra.", "logger")
_OVERRIDES = Path(".hydra", "overrides.yaml")
_FRONTIER, _REPORT = "frontier.csv", "report.html"
_FIGURES = ("validation_score", "mean_regret", "mean_regret_low", "mean_regret_high")


def merge_jobs(sweep: Path) -> Path | None:
    """Merge the finished jobs of a sweep into ``summary.csv``, one row each; None where none has finished.

    A row holds the job, what it was asked, the row of its chosen budget in ``frontier.csv``, where there is one, and
    what it left by :func:`write_job`. Jobs that failed or were interrupted have no row.

    Args:
        sweep: folder of the multirun.
    """
    rows = [row for folder in _jobs(sweep) if (row := _row(folder))]
    if not rows:
        return None
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with replacing(sweep / "summary.csv") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return sweep / "summary.csv"


def _row(folder: Path) -> dict[str, Any] | None:
    left, frontier = folder / JOB, folder / _FRONTIER
    if not left.is_file():
        return None
    chosen = {}
    if frontier.is_file():
        with frontier.open(newline="", encoding="utf-8") as file:
            chosen = next(csv.DictReader(file))
    return {"job": folder.name, **_asked(folder), **chosen, **json.loads(left.read_text())}


def _asked(folder: Path) -> dict[str, str]:
    return _settings(_overrides(folder))


def _overrides(folder: Path) -> list[str]:
    return list(map(str, OmegaConf.load(folder / _OVERRIDES)))


def _settings(overrides: Iterable[str]) -> dict[str, str]:
    asked = [text.lstrip("+~") for text in overrides]
    return dict(text.partition("=")[::2] for text in asked if not text.startswith(_PLACES))


def _jobs(sweep: Path) -> list[Path]:
    """Folders of the jobs in their order, other files last."""
    return sorted(sweep.iterdir(), key=lambda p: (int(p.name) if p.name.isdigit() else sys.maxsize, p.name))


def read_comparison(
    sweep: Path, *, interrupted: bool = False, asked: Iterable[list[str]] = ()
) -> Comparison | None:
    """What the jobs of a sweep left, to be compared; None where no job has begun.

    Args:
        sweep: folder of the multirun.
        interrupted: whether it did not come to its end.
        asked: the overrides of every job that was asked for, where some may not have begun.
    """
    folders = [folder for folder in _jobs(sweep) if (folder / _OVERRIDES).is_file()]
    if not folders:
        return None
    jobs = tuple(map(_job, folders))
    kept = OmegaConf.load(folders[0] / ".hydra" / "hydra.yaml")
    return Comparison(
        name=sweep.name,
        jobs=jobs,
        partial=interrupted or any(job.outcome in ("interrupted", "partial") for job in jobs),
        search=is_search(str(OmegaConf.select(kept, "hydra.sweeper._target_"))),
        never_began=tuple(map(_settings, never_began(asked, list(map(_overrides, folders))))),
    )


def _job(folder: Path) -> JobRow:
    from moe2_pl.report import read_frontier

    asked, left, error = _asked(folder), folder / JOB, folder / ERROR
    if error.is_file():
        # The line names the job first, as the terminal needs it; here it stands beside the job.
        return JobRow(
            folder.name, asked, "failed", error.read_text().partition("): ")[2] or error.read_text()
        )
    figures: dict[str, Any] = json.loads(left.read_text()) if left.is_file() else {}
    if figures.get("status") == "infeasible":
        return JobRow.infeasible(folder.name, asked, figures["reason"])
    rows = read_frontier(folder / _FRONTIER) if (folder / _FRONTIER).is_file() else []
    outcome, reason = "ended", ""
    if not left.is_file() and rows:
        outcome, reason = (
            "partial",
            "interrupted while planning or certifying; the figures are those found by then",
        )
    elif not left.is_file():
        outcome, reason = "interrupted", "it has not come to its end"
    return JobRow(
        folder.name,
        asked,
        outcome,
        reason,
        rows[0] if rows else None,
        tuple(row for row in rows if row.budget == "grid"),
        planned_unit=figures.get("planned_unit", ""),
        queries=figures.get("queries", ""),
        report=f"{quote(folder.name)}/{_REPORT}" if (folder / _REPORT).is_file() else "",
        **{name: float(figures.get(name, math.nan)) for name in _FIGURES},
    )


class SweepSummary(Callback):
    """Merges and compares the jobs of a multirun when it ends, or is interrupted."""

    _open: ClassVar[Path | None] = None
    _asked: ClassVar[Callable[[], list[list[str]]]] = list

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remember where the jobs will be, and what was asked."""
        SweepSummary._open = Path(config.hydra.sweep.dir)
        # Hydra forgets its loader before the end.
        SweepSummary._asked = partial(asked_jobs, config, GlobalHydra.instance().config_loader())

    @classmethod
    @contextmanager
    def merged_at_the_end(cls) -> Iterator[None]:
        """Merge once the block ends, however it ends.

        Raises:
            MoE2Error: a job has failed.
        """
        sweep: Path | None = None
        interrupted = True
        try:
            yield
            interrupted = False
        finally:
            sweep, cls._open = cls._open, None
            if sweep is not None and sweep.is_dir():
                if (merged := merge_jobs(sweep)) is not None:
                    print(f"summary of the sweep: {merged}")
                _compare(sweep, cls._asked if interrupted else None)
                if (command := sync_command(sweep)) is not None:
                    print(f"W&B: {command}")
        errors = [path for folder in _jobs(sweep) if (path := folder / ERROR).is_file()] if sweep else []
        if errors:
            more = (
                f" ({len(errors) - 1} more failed: {errors[1].name} in their folders)" if errors[1:] else ""
            )
            raise MoE2Error(f"{errors[0].read_text()}{more}")


def _compare(sweep: Path, interrupted: Callable[[], list[list[str]]] | None) -> None:
    """Write ``comparison.html`` and print its table.

    Args:
        sweep: folder of the multirun.
        interrupted: of one that did not come to its end, tells what was asked of its jobs.
    """
    try:
        from moe2_pl.report import print_comparison, write_comparison

        asked = interrupted() if interrupted else []
        comparison = read_comparison(sweep, interrupted=interrupted is not None, asked=asked)
        if comparison is not None:
            print_comparison(comparison)
            print(f"comparison of the jobs: {write_comparison(comparison, sweep / 'comparison.html')}")
    except Exception as error:
        # The jobs' results are on disk and complete; what went wrong in showing them must not look like their failure.
        said = " ".join(str(error).split())
        print(f"comparison.html could not be written: {type(error).__name__}: {said}", file=sys.stderr)
