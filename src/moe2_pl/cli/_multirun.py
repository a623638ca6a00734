"""The jobs of a multirun: what each leaves, and the one table that they are merged into."""

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from moe2_pl.report import replacing

__all__ = ["SweepSummary", "in_multirun", "job_name", "merge_jobs", "write_job"]

_JOB = "job.json"
# Where a job's files lie or how it is watched is no setting to compare.
_PLACES = ("paths.", "hydra.", "logger")


def in_multirun() -> bool:
    """Whether this is one of the jobs of a multirun."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def job_name() -> str:
    """The job's number and what was asked of it."""
    job = HydraConfig.get()
    return f"job {job.job.num} ({' '.join(job.overrides.task)})"


def write_job(folder: Path, **figures: Any) -> None:
    """Leave figures of a job for :func:`merge_jobs`."""
    with replacing(folder / _JOB) as file:
        json.dump(figures, file)


def merge_jobs(sweep: Path) -> Path | None:
    """Merge the finished jobs of a sweep into ``summary.csv``, one row each; None where none has finished.

    A row holds the job, what it was asked, the row of its chosen budget in ``frontier.csv``, where there is one, and
    what it left by :func:`write_job`. Jobs that failed or were interrupted have no row.

    Args:
        sweep: folder of the multirun.
    """
    rows = [row for folder in sorted(sweep.iterdir(), key=_number) if (row := _row(sweep, folder))]
    if not rows:
        return None
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with replacing(sweep / "summary.csv") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return sweep / "summary.csv"


def _row(sweep: Path, folder: Path) -> dict[str, Any] | None:
    left, frontier = folder / _JOB, folder / "frontier.csv"
    if not left.is_file():
        return None
    asked = [str(text).lstrip("+~") for text in OmegaConf.load(folder / ".hydra" / "overrides.yaml")]
    given = dict(text.partition("=")[::2] for text in asked if not text.startswith(_PLACES))
    chosen = {}
    if frontier.is_file():
        with frontier.open(newline="", encoding="utf-8") as file:
            chosen = next(csv.DictReader(file))
    return {"job": folder.name, **given, **chosen, **json.loads(left.read_text())}


def _number(folder: Path) -> tuple[int, str]:
    return (int(folder.name) if folder.name.isdigit() else sys.maxsize, folder.name)


class SweepSummary(Callback):
    """Merges the jobs of a multirun when it ends, or is interrupted."""

    _open: ClassVar[Path | None] = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remember where the jobs will be."""
        SweepSummary._open = Path(config.hydra.sweep.dir)

    @classmethod
    @contextmanager
    def merged_at_the_end(cls) -> Iterator[None]:
        """Merge once the block ends, however it ends."""
        try:
            yield
        finally:
            sweep, cls._open = cls._open, None
            if sweep is not None and sweep.is_dir():
                merged = merge_jobs(sweep)
                if merged is not None:
                    print(f"summary of the sweep: {merged}")
