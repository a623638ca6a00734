"""What ``train.py`` and ``evaluate.py`` call: configuration → objects → stages."""

from moe2_pl.cli._console import ConsoleHandler
from moe2_pl.cli._evaluate import evaluate
from moe2_pl.cli._joblib_workers import JoblibWorkers
from moe2_pl.cli._logging import wandb_logger
from moe2_pl.cli._main import run
from moe2_pl.cli._optuna import OptunaLines
from moe2_pl.cli._ray_cluster import RayCluster
from moe2_pl.cli._sweep_end import SweepSummary
from moe2_pl.cli._train import train

__all__ = [
    "ConsoleHandler",
    "JoblibWorkers",
    "OptunaLines",
    "RayCluster",
    "SweepSummary",
    "evaluate",
    "run",
    "train",
    "wandb_logger",
]
