"""What a Hydra job's W&B run is called, belongs to and is drawn by; every run is a real offline one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig
from tests.cli.conftest import ROOT
from tests.conftest import make_outputs
from tests.wandb_files import OfflineRun, finished_run

from moe2_pl.cli import run, wandb_logger
from moe2_pl.gate import GatingModule
from moe2_pl.outputs import ExpertOutputsDataModule
from moe2_pl.report import finish_wandb

Jobs = Callable[..., list[OfflineRun]]


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is logged in, as in a fresh checkout."""
    monkeypatch.setenv("WANDB_MODE", "offline")  # so that what Lightning sets is taken back
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staging"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Runs ``train`` with a task that only logs; returns the W&B runs of its jobs."""

    def task(config: DictConfig) -> None:
        logger = instantiate(config.logger)["wandb"]
        logger.log_hyperparams({"seed": config.seed})
        finish_wandb(logger)

    def called(*arguments: str) -> list[OfflineRun]:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        GlobalHydra.instance().clear()
        run(ROOT / "conf", "train", task)
        HydraConfig.instance().cfg = None
        return [finished_run(log.parents[2]) for log in sorted(tmp_path.rglob("run-*.wandb"))]

    return called


def test_the_jobs_of_a_multirun_are_one_group_named_by_what_differs(
    jobs: Jobs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "2026-01-31" / "12-30-00-multirun"
    found = jobs("-m", "seed=0,1", "budget=tight", f"hydra.sweep.dir={folder}")
    assert [run.config["seed"] for run in found] == [0, 1]
    assert {run.group for run in found} == {"2026-01-31 12-30-00-multirun"}
    assert [run.name for run in found] == ["seed=0", "seed=1"]
    assert {run.job_type for run in found} == {"train"}
    assert set(found[0].tags) == {"jetson_mix", "blend", "competence", "tight"}
    assert len({run.id for run in found}) == 2
    assert "wandb" not in capfd.readouterr().err


def test_what_is_said_on_the_command_line_wins(jobs: Jobs, tmp_path: Path) -> None:
    (found,) = jobs(
        "-m",
        "seed=3",
        f"hydra.sweep.dir={tmp_path / 'budgets'}",
        "logger.wandb.group=mine",
        "logger.wandb.name=first",
        "logger.wandb.job_type=try",
        "logger.wandb.tags=[a,b]",
    )
    assert (found.group, found.name, found.job_type, found.tags) == ("mine", "first", "try", ("a", "b"))


def test_a_single_job_has_no_group_and_is_called_by_its_overrides(jobs: Jobs, tmp_path: Path) -> None:
    long = "traffic.queries_per_s=0.0712345678901234567890123456789"
    arguments = [
        "seed=3",
        "logger.wandb.project=p",
        f"hydra.run.dir={tmp_path / 'run'}",
        long,
        f"+x={60 * 'y'}",
    ]
    (found,) = jobs(*arguments[:-1])
    assert (found.group, found.name) == ("", f"seed=3, {long}")


def test_a_run_goes_on_under_its_id(jobs: Jobs, tmp_path: Path) -> None:
    arguments = ("seed=3", "logger.wandb.id=3k2b9x1c", "logger.wandb.resume=allow")
    jobs(*arguments, f"hydra.run.dir={tmp_path / 'first'}")
    found = jobs(*arguments, f"hydra.run.dir={tmp_path / 'second'}")
    assert [run.id for run in found] == ["3k2b9x1c", "3k2b9x1c"]


def test_one_id_for_several_jobs_is_refused(
    jobs: Jobs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        jobs("-m", "seed=0,1", "logger.wandb.id=3k2b9x1c", f"hydra.sweep.dir={tmp_path}")
    error = capsys.readouterr().err
    assert "logger.wandb.id=3k2b9x1c names one run" in error
    assert len(error.splitlines()) == 1


@pytest.mark.slow  # W&B asks for ten seconds
def test_a_login_that_cannot_be_confirmed_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from moe2_pl.cli import wandb_logger\nwandb_logger(project='p', save_dir='.')",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": 40 * "a"},
    )
    assert "moe2_pl.errors.ConfigError: W&B: Failed to authenticate with http://127.0.0.1:9" in done.stderr
    assert done.stderr.rstrip().endswith("logger.wandb.offline=true keeps the run here for a later sync")


def test_every_training_curve_is_drawn_by_epoch(tmp_path: Path) -> None:
    data = ExpertOutputsDataModule(make_outputs(600), batch_size=64)
    data.setup("fit")
    gate = GatingModule(data.spec, data.outputs.model_id, fitted={"name": "forest", "trees": 5})
    logger = wandb_logger(project="p", save_dir=str(tmp_path))
    trainer = L.Trainer(
        max_epochs=3,
        logger=logger,
        default_root_dir=tmp_path,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        log_every_n_steps=1,
    )
    trainer.fit(gate, datamodule=data)
    finish_wandb(logger)
    found = finished_run(tmp_path)
    curves = {key for row in found.history for key in row if key.startswith(("train/", "val/"))}
    assert curves == {"train/loss", "val/loss", "val/score", "val/fitted_share", "val/temperature"}
    assert {found.axes[name] for name in curves} == {"epoch"}
    assert found.column("epoch")[-1] == 2
    losses = found.column("val/loss")
    assert len(losses) == 3
    assert found.summary["val/loss"] == {"min": min(losses), "last": losses[-1]}


def test_a_run_that_a_failed_job_left_open_takes_nothing_of_the_next(tmp_path: Path) -> None:
    failed = wandb_logger(project="p", save_dir=str(tmp_path / "failed"))
    failed.log_metrics({"train/loss": 1.0})
    following = wandb_logger(project="p", save_dir=str(tmp_path / "following"))
    following.log_metrics({"train/loss": 2.0})
    finish_wandb(following)
    first, second = finished_run(tmp_path / "failed"), finished_run(tmp_path / "following")
    assert (first.column("train/loss"), first.exit_code) == ([1.0], 1)
    assert (second.column("train/loss"), second.exit_code) == ([2.0], 0)


def test_a_run_says_which_commit_it_was_made_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", *who, *arguments], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        return done.stdout.strip()

    git("init")
    git("commit", "--allow-empty", "-m", "first")
    monkeypatch.chdir(tmp_path)
    logger: Any = wandb_logger(project="p", save_dir=str(tmp_path / "run"))
    finish_wandb(logger)
    assert finished_run(tmp_path / "run").commit == git("rev-parse", "HEAD")
