"""The jobs of a multirun: what each is called, and what it leaves for the end."""

import json
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from moe2_pl.files import replacing

__all__ = [
    "ERROR",
    "JOB",
    "differing",
    "end_job",
    "forget_job",
    "in_multirun",
    "job_name",
    "job_number",
    "sweep_folder",
    "write_error",
    "write_job",
]

JOB, ERROR = "job.json", "error.txt"
# Hydra's, of what was asked for; a sweeper that searches leaves none.
_MULTIRUN = "multirun.yaml"


def sweep_folder() -> Path | None:
    """The folder of the multirun that this is a job of; None in a single run."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    job = HydraConfig.get()
    return Path(job.runtime.cwd, job.sweep.dir)


def in_multirun() -> bool:
    """Whether this is one of the jobs of a multirun."""
    return sweep_folder() is not None


def job_number() -> int | None:
    """The number of this job of a multirun; None in a single run, and where a multirun starts its jobs."""
    if not in_multirun() or OmegaConf.is_missing(HydraConfig.get().job, "num"):
        return None
    return int(HydraConfig.get().job.num)


def job_name() -> str:
    """The job's number and what tells it from others."""
    return f"job {job_number()} ({' '.join(differing())})"


def differing() -> list[str]:
    """What was asked of this job of a multirun and not of all of them; all of it where that is not known."""
    sweep, told = sweep_folder(), list(HydraConfig.get().overrides.task)
    if sweep is None or not (sweep / _MULTIRUN).is_file():
        return told
    # Hydra keeps what was asked for there: seed=0,1, of which this job has seed=0.
    asked = OmegaConf.load(sweep / _MULTIRUN).hydra.overrides.task
    return [text for text in told if text not in asked] or told


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
