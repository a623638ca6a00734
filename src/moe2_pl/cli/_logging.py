"""The W&B logger of a configuration: offline without an account, and named after the Hydra job that it belongs to."""

import os
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig

from moe2_pl.cli._multirun import differing, sweep_folder
from moe2_pl.errors import ConfigError

if TYPE_CHECKING:
    from lightning.pytorch.loggers import WandbLogger

__all__ = ["wandb_logger"]

# Groups of the configuration whose choices become tags.
_TAGS = ("expert_pool", "gate", "objective", "budget")
# W&B takes names of 128 signs; longer ones cannot be told apart in its table.
_LONGEST_NAME = 80


def wandb_logger(
    offline: bool | None = None,
    *,
    id: str | None = None,
    name: str | None = None,
    group: str | None = None,
    job_type: str | None = None,
    tags: Iterable[str] | None = None,
    **options: Any,
) -> "WandbLogger":
    """A Lightning ``WandbLogger``; what is None comes from the Hydra job, as far as there is one.

    Args:
        offline: None: offline unless there is a login or ``WANDB_MODE``.
        id: of a run to go on with, or to start under this id.
        name: None: the job's overrides, in a multirun those that differ between its jobs.
        group: None: of a multirun the name of its folder, so that its jobs stand together; else no group.
        job_type: None: the job's name, ``train``.
        tags: None: the choices of pool, gate, objective and budget.
        options: further arguments of ``WandbLogger`` and ``wandb.init``.

    Raises:
        ConfigError: one id for the several runs of a multirun; a login that W&B does not confirm.
    """
    import wandb

    from moe2_pl.cli._wandb_logger import WandbLogger

    if HydraConfig.initialized():
        job = HydraConfig.get()
        folder = sweep_folder()
        if folder is not None and id is not None:
            raise ConfigError(
                f"logger.wandb.id={id} names one run, and a multirun has several; use logger.wandb.group"
            )
        name = name or _name(differing())
        group = group or (_group(folder) if folder else None)
        job_type = job_type or job.job.name
        tags = tags or [job.runtime.choices[key] for key in _TAGS if job.runtime.choices.get(key)]
    wandb.setup(wandb.Settings(silent=True))
    if offline is None:
        mode = os.environ.get("WANDB_MODE")
        # "dryrun" is what Lightning says once an earlier job of this process was offline.
        offline = mode in ("offline", "dryrun") if mode else not _logged_in()
    if wandb.run is not None:
        # Left open by a job of this process that failed; Lightning would add this job's figures to it.
        wandb.run.finish(exit_code=1)
    # The mode is said twice: W&B has read its environment by now, which is where Lightning would say it.
    mode_again: dict[str, Any] = {"mode": "offline"} if offline else {}
    return WandbLogger(
        offline=offline,
        id=id,
        name=name,
        group=group,
        job_type=job_type,
        tags=None if tags is None else list(tags),
        **mode_again,
        **options,
    )


def _logged_in() -> bool:
    import wandb

    try:
        return wandb.login(prompt=False)
    except wandb.Error as error:
        raise ConfigError(
            f"W&B: {error} logger.wandb.offline=true keeps the run here for a later sync"
        ) from error


def _name(overrides: Iterable[str]) -> str | None:
    """The overrides of a job as one short line; None where there are none, and W&B makes up a name."""
    line = ", ".join(text for text in overrides if not text.lstrip("+~").startswith(("logger", "paths.")))
    return (line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…") or None


def _group(folder: Path) -> str:
    """The name of a sweep's folder, with the date where that is what its parent is called."""
    try:
        return f"{date.fromisoformat(folder.parent.name)} {folder.name}"
    except ValueError:
        return folder.name
