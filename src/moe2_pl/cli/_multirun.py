"""The jobs of a multirun: what each is called, and what it leaves for the end."""

import json
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from moe2_pl.report import replacing

__all__ = [
    "ERROR",
    "JOB",
    "end_job",
    "forget_job",
    "in_multirun",
    "job_name",
    "sweep_folder",
    "write_error",
    "write_job",
]

JOB, ERROR = "job.json", "error.txt"


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
    """Leave figures of this job for the end of the multirun."""
    with replacing(_job_folder() / JOB) as file:
        json.dump(figures, file)


def write_error(line: str) -> None:
    """Leave why this job failed, for the end of the multirun."""
    with replacing(_job_folder() / ERROR) as file:
        file.write(line)


def end_job() -> None:
    """Leave that this job has come to its end, also where it has no figures to leave (``stages=[fit]``, say)."""
    if not (_job_folder() / JOB).is_file():
        write_job()


def forget_job() -> None:
    """Remove what an earlier job has left in this one's folder."""
    for name in (JOB, ERROR, "frontier.csv"):
        (_job_folder() / name).unlink(missing_ok=True)


def _job_folder() -> Path:
    return Path(HydraConfig.get().runtime.output_dir)
