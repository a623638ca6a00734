"""The dashboard's definition: what it shows is what a real run logs, and the command says plainly what it cannot do."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.wandb_files import OfflineRun, finished_run

from moe2_pl.planning import Results
from moe2_pl.report import log_to_wandb, wandb_axes

TRAINING = {"epoch": 0, "train/loss": 1.0, "val/loss": 1.0, "val/score": 0.5, "val/fitted_share": 0.5}


@pytest.fixture
def run(data: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OfflineRun:
    """A real run as training and evaluation log it."""
    import wandb

    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staging"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    settings = wandb.Settings(silent=True, console="off")
    logged = wandb.init(project="report", mode="offline", dir=tmp_path, settings=settings)
    wandb_axes(logged)
    logged.config.update({"seed": 0, "objective": {"name": "competence"}})
    logged.log(TRAINING)
    log_to_wandb(logged, data)
    logged.finish()
    return finished_run(tmp_path)


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user without an account would."""
    import os

    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    return subprocess.run(
        [sys.executable, "-m", "moe2_pl.report.workspace", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**kept, "WANDB_ERROR_REPORTING": "false", **environment},
    )


def panels(definition: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The settings of all panels of a kind."""
    sections = definition["section"]["panelBankConfig"]["sections"]
    found = [
        panel["config"] for section in sections for panel in section["panels"] if panel["viewType"] == kind
    ]
    assert found, kind
    return found


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = command("--group", "2026-01-31 12-30-00-multirun", HOME=str(tmp_path_factory.mktemp("home")))
    assert done.returncode == 0, done.stderr
    assert "not logged in" in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_curve_of_the_dashboard_is_logged_against_its_axis(
    definition: dict[str, Any], run: OfflineRun
) -> None:
    for panel in panels(definition, "Run History Line Plot"):
        for metric in panel["metrics"]:
            assert run.column(metric), metric
            assert run.axes[metric] == panel["xAxis"]


def test_every_bar_and_mark_of_the_dashboard_stands_in_the_summary(
    definition: dict[str, Any], run: OfflineRun
) -> None:
    for panel in panels(definition, "Bar Chart"):
        assert {*panel["metrics"]} <= {*run.summary}
    for panel in panels(definition, "Scatter Plot"):
        assert {panel[axis].removeprefix("summary:") for axis in ("xAxis", "yAxis")} <= {*run.summary}


def test_the_dashboard_shows_every_chart_and_table_that_is_logged(
    definition: dict[str, Any], run: OfflineRun
) -> None:
    shown = {key for panel in panels(definition, "Media Browser") for key in panel["mediaKeys"]}
    assert shown == {key for key in run.summary if key.startswith("figures/")}
    tables = json.dumps(panels(definition, "Weave"))
    for key in run.summary:
        assert not key.startswith("tables/") or f'"{key}"' in tables, key


def test_columns_beside_the_runs_exist(definition: dict[str, Any], run: OfflineRun) -> None:
    for column in definition["section"]["runSets"][0]["runFeed"]["columnOrder"]:
        section, _, key = column.partition(":")
        if section == "summary":
            assert key in run.summary
        if section == "config":
            assert key.split(".")[0] in run.config


def test_a_group_is_shown_alone(definition: dict[str, Any]) -> None:
    (condition,) = definition["section"]["runSets"][0]["filters"]["filters"]
    assert condition["key"] == {"section": "run", "name": "group"}
    assert condition["value"] == "2026-01-31 12-30-00-multirun"


def test_categories_of_another_pool_can_be_named(tmp_path: Path) -> None:
    done = command("--categories", "chat", HOME=str(tmp_path))
    bars = [panel["metrics"] for panel in panels(json.loads(done.stdout), "Bar Chart")]
    assert ["category/chat/score", "category/chat/lookup_score"] in bars
    assert "category/coder/score" not in done.stdout


def test_help_names_the_options_and_the_extra() -> None:
    done = command("--help")
    assert done.returncode == 0
    for word in ("--entity", "--project", "--group", "moe2-pl[dashboard]"):
        assert word in done.stdout


def test_a_server_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    done = command(HOME=str(tmp_path), WANDB_BASE_URL="http://127.0.0.1:9", WANDB_API_KEY=40 * "a")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: W&B took no dashboard for moe2-pl: ")
    assert len(done.stderr.splitlines()) == 1


def test_without_the_package_one_line_says_what_to_install(tmp_path: Path) -> None:
    # An empty module of the name stands for a package that is not there: importing what it lacks fails alike.
    (tmp_path / "wandb_workspaces.py").write_text("")
    done = command(PYTHONPATH=str(tmp_path), HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == (
        "error: wandb-workspaces is not installed: pip install 'moe2-pl[dashboard]', "
        "or pip install wandb-workspaces\n"
    )
