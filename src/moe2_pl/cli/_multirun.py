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

from moe2_pl.errors import MoE2Error
from moe2_pl.report import replacing

__all__ = [
    "SweepSummary",
    "forget_job",
    "in_multirun",
    "job_name",
    "merge_jobs",
    "sweep_folder",
    "write_error",
    "write_job",
]

_JOB, _ERROR = "job.json", "error.txt"
# Where a job's files lie or how it is watched is no setting to compare.
_PLACES = ("paths.", "hydra.", "logger")


def sweep_folder() -> Path | None:
    """The folder of the multirun that this is a job of; None in a single run."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    job = HydraConfig.get()
    return Path(job.runtime.cwd, job.sweep.dir)


def in_multirun() -> bool:
    """Whether this is one of the jobs of a multirun."""
    return sweep_folder() is not None


def job_name() -> str:
    """The job's number and what was asked of it."""
    job = HydraConfig.get()
    return f"job {job.job.num} ({' '.join(job.overrides.task)})"


def write_job(**figures: Any) -> None:
    """Leave figures of this job for :func:`merge_jobs`."""
    with replacing(_job_folder() / _JOB) as file:
        json.dump(figures, file)


def write_error(line: str) -> None:
    """Leave why this job failed, for the end of the multirun."""
    with replacing(_job_folder() / _ERROR) as file:
        file.write(line)


def forget_job() -> None:
    """Remove what an earlier job has left in this one's folder."""
    for name in (_JOB, _ERROR):
        (_job_folder() / name).unlink(missing_ok=True)


def _job_folder() -> Path:
    return Path(HydraConfig.get().runtime.output_dir)


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


def _jobs(sweep: Path) -> list[Path]:
    """Folders of the jobs in their order, other files last."""
    return sorted(sweep.iterdir(), key=lambda p: (int(p.name) if p.name.isdigit() else sys.maxsize, p.name))


class SweepSummary(Callback):
    """Merges the jobs of a multirun when it ends, or is interrupted."""

    _open: ClassVar[Path | None] = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remember where the jobs will be."""
        SweepSummary._open = Path(config.hydra.sweep.dir)

    @classmethod
    @contextmanager
    def merged_at_the_end(cls) -> Iterator[None]:
        """Merge once the block ends, however it ends.

        Raises:
            MoE2Error: a job has failed.
        """
        sweep: Path | None = None
        try:
            yield
        finally:
            sweep, cls._open = cls._open, None
            if sweep is not None and sweep.is_dir() and (merged := merge_jobs(sweep)) is not None:
                print(f"summary of the sweep: {merged}")
        errors = [path for folder in _jobs(sweep) if (path := folder / _ERROR).is_file()] if sweep else []
        if errors:
            more = (
                f" ({len(errors) - 1} more failed: {errors[1].name} in their folders)" if errors[1:] else ""
            )
            raise MoE2Error(f"{errors[0].read_text()}{more}")
