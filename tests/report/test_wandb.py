"""A real offline W&B run holds the metrics, tables, charts and artifacts that docs/wandb.md names."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from tests.wandb_files import OfflineRun, finished_run

from moe2_pl.cli._schema import register_schema
from moe2_pl.planning import FrontierRow, Results
from moe2_pl.pool import ExpertPool
from moe2_pl.report import finish_wandb, log_to_wandb, write_baselines, write_frontier

CONF = Path(__file__).parents[2] / "conf"
ADDRESS = "3f2a9c" + 58 * "0"
TRAINED_FOR = {"pool": 64 * "a", "outputs": 64 * "b"}

Logged = Callable[..., OfflineRun]


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logged:
    """Logs data to a run of its own and reads it back."""
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staging"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")

    def log(data: Results, **options: Any) -> OfflineRun:
        import wandb

        folder = tmp_path / f"run{len(list(tmp_path.glob('run*')))}"
        folder.mkdir()
        settings = wandb.Settings(silent=True, console="off")
        run = wandb.init(project="report", mode="offline", dir=folder, settings=settings)
        log_to_wandb(run, data, **options)
        assert finish_wandb(run) == f"W&B: wandb sync {next(folder.glob('wandb/offline-run-*'))}"
        return finished_run(folder)

    return log


@pytest.fixture(scope="module")
def pool() -> dict[str, Any]:
    """The shipped pool's part of the configuration, plain values."""
    from omegaconf import OmegaConf

    register_schema()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("train").expert_pool, resolve=True)


@pytest.fixture
def folder(data: Results, tmp_path: Path) -> Path:
    """A run folder with a gate, without a certificate."""
    write_frontier((data.chosen, *data.grid), tmp_path / "frontier.csv")
    write_baselines(data.baselines, tmp_path / "baselines.csv")
    (tmp_path / "report.html").write_text("<!doctype html>")
    (tmp_path / "gate.ckpt").write_bytes(os.urandom(1_000_000))
    return tmp_path


def test_the_summary_holds_the_figures_that_runs_are_compared_by(logged: Logged, data: Results) -> None:
    run = logged(data)
    assert run.summary["chosen/score"] == pytest.approx(data.chosen.score)
    assert run.summary["chosen/energy_budget_j"] == data.chosen.energy_budget_j
    assert run.summary["chosen/status"] == data.chosen.status
    assert run.summary["tight/energy_j"] == pytest.approx(data.presets[0].energy_j)
    assert run.summary["unlimited/max_utilisation"] == max(data.presets[3].utilisation.values())
    assert run.summary["category/coder/score"] == pytest.approx(data.chosen.categories[2].score)
    assert run.summary["category/coder/queries"] == 190
    assert run.summary["against/no_budget"] == pytest.approx(data.contrasts[0].difference)
    assert run.summary["utilisation/orin_a"] == pytest.approx(data.chosen.utilisation["orin_a"])
    assert run.summary["calibration/largest_distance"] == pytest.approx(
        max(abs(p - r) for p, r in data.calibration.values())
    )
    assert run.summary["certificate/mean_regret"] == 0.002
    assert run.summary["seconds/fit"] == 21.4
    assert run.exit_code == 0


def test_what_does_not_exist_is_left_out(logged: Logged, data: Results) -> None:
    run = logged(replace(data, certificate=None, calibration={}))
    assert "unlimited/energy_budget_j" not in run.summary
    assert not [key for key in run.summary if key.startswith(("certificate/", "calibration/"))]
    assert not {"tables/certificate", "tables/calibration", "figures/certificate"} & set(run.summary)


def test_a_chosen_preset_is_told_under_both_names_and_stands_in_the_frontier_once(
    logged: Logged, data: Results
) -> None:
    run = logged(replace(data, chosen=data.presets[1]))
    assert run.summary["chosen/score"] == run.summary["medium/score"]
    assert run.summary["chosen/budget"] == "medium"
    assert [line["budget"] for line in run.table("frontier")].count("medium") == 1


def test_an_infeasible_budget_is_logged_as_such(
    logged: Logged, data: Results, infeasible: FrontierRow
) -> None:
    run = logged(replace(data, chosen=infeasible, grid=()))
    assert run.summary["chosen/status"] == "infeasible"
    assert "chosen/score" not in run.summary
    assert "figures/routing_flow" not in run.summary


def test_the_frontier_is_a_curve_of_its_own_axis_at_the_nearest_latency(
    logged: Logged, data: Results
) -> None:
    run = logged(data)
    (latency,) = set(run.column("frontier/latency_budget_s"))
    cells = [row for row in data.grid if row.latency_budget_s == latency and row.feasible]
    assert min(abs(row.latency_budget_s - 12.0) for row in data.grid) == abs(latency - 12.0)
    assert run.column("frontier/energy_budget_j") == pytest.approx([row.energy_budget_j for row in cells])
    assert run.column("frontier/score") == pytest.approx([row.score for row in cells])
    assert run.column("frontier/lookup_score") == pytest.approx([row.lookup_score for row in cells])
    assert len(cells) > 6


def test_without_a_latency_limit_the_curve_is_the_loosest(logged: Logged, data: Results) -> None:
    run = logged(replace(data, chosen=data.presets[3]))
    assert set(run.column("frontier/latency_budget_s")) == {max(row.latency_budget_s for row in data.grid)}


def test_tables_hold_every_row_in_cells_that_a_browser_can_read(logged: Logged, data: Results) -> None:
    run = logged(data)
    frontier = run.table("frontier")
    assert len(frontier) == 1 + len(data.presets) + len(data.grid)
    assert frontier[0]["score"] == pytest.approx(data.chosen.score)
    assert frontier[4]["budget"] == "unlimited"
    assert frontier[4]["energy_budget_j"] is None
    assert [line["name"] for line in run.table("summary")] == [row.name for row in data.summary]
    coder = [line for line in run.table("categories") if line["category"] == "coder"]
    assert coder[0]["score"] == pytest.approx(data.chosen.categories[2].score)
    shares = [line["share"] for line in run.table("routing") if line["budget"] == "chosen"]
    assert sum(shares) == pytest.approx(len(data.chosen.categories))
    assert run.table("calibration")[0]["predicted"] == pytest.approx(data.calibration["nemotron-51b"][0])
    assert [line["regret"] for line in run.table("certificate")] == [-0.004, 0.003, 0.007]
    assert len(run.table("baselines")) == len(data.baselines)


def test_charts_are_the_reports_and_the_flow_of_queries(logged: Logged, data: Results) -> None:
    run = logged(data)
    charts = {key.removeprefix("figures/") for key in run.summary if key.startswith("figures/")}
    assert charts == {
        *("frontier", "map", "baselines", "categories", "experts", "routing", "routing_flow"),
        *("utilisation", "load", "calibration", "certificate"),
    }
    assert {"MoE²", "lookup"} <= {trace.get("name") for trace in run.chart("frontier")["data"]}

    (flow,) = run.chart("routing_flow")["data"]
    assert flow["type"] == "sankey"
    names = flow["node"]["label"]
    into: dict[str, float] = {}
    for target, queries in zip(flow["link"]["target"], flow["link"]["value"], strict=True):
        into[names[target]] = into.get(names[target], 0.0) + queries
    queries = sum(part.queries for part in data.chosen.categories)
    assert sum(into[device] for device in data.chosen.devices) == pytest.approx(queries)
    assert sum(into.get(expert, 0.0) for expert in data.chosen.experts) == pytest.approx(queries)


def test_artifacts_lead_from_pool_to_gate_to_frontier(
    logged: Logged, data: Results, folder: Path, pool: dict[str, Any]
) -> None:
    checkpoint = folder / "gate.ckpt"
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    run = logged(
        data,
        checkpoint=checkpoint,
        gate_address=ADDRESS,
        trained_for=TRAINED_FOR,
        pool=pool,
        folder=folder,
    )
    found = run.artifacts
    fingerprint = ExpertPool.from_mapping(pool).fingerprint()

    assert found["pool-jetson_mix"].used
    assert found["pool-jetson_mix"].metadata == {"pool_sha256": fingerprint}
    told = json.loads(found["pool-jetson_mix"].files["pool.json"].read_text())
    assert ExpertPool.from_mapping(told).fingerprint() == fingerprint

    gate = found["gate-jetson_mix"]
    assert (gate.type, gate.used, {*gate.aliases}) == ("model", False, {"3f2a9c000000", "latest"})
    assert gate.metadata == {
        "gate_address": ADDRESS,
        "gate_sha256": sha256,
        "gate_pool_sha256": TRAINED_FOR["pool"],
        "gate_outputs_sha256": TRAINED_FOR["outputs"],
        "objective": "competence",
    }
    assert gate.files == {"gate.ckpt": checkpoint}, "referred to where it lies, not copied"

    frontier = found["frontier-jetson_mix"]
    assert not frontier.used
    assert frontier.files == {name: folder / name for name in ("frontier.csv", "baselines.csv")}
    assert frontier.metadata["gate_sha256"] == sha256
    assert frontier.metadata["gate_address"] == ADDRESS
    assert frontier.metadata["pool_sha256"] == fingerprint
    assert frontier.metadata["experts"] == [*data.chosen.experts]

    report = found["report-jetson_mix"].files
    assert report["report.html"] == folder / "report.html"
    provenance = json.loads(report["provenance.json"].read_text())
    assert provenance["licence"] == "MIT"
    assert provenance["gate_sha256"] == sha256


def test_a_gate_of_another_run_is_an_input_of_the_same_content(
    logged: Logged, data: Results, folder: Path
) -> None:
    options = {"checkpoint": folder / "gate.ckpt", "gate_address": ADDRESS}
    trained, reusing = (logged(data, gate_reused=reused, **options) for reused in (False, True))
    first, second = trained.artifacts["gate-jetson_mix"], reusing.artifacts["gate-jetson_mix"]
    assert (first.used, second.used) == (False, True)
    assert first.digest == second.digest, "W&B would take them for two versions"
    assert (trained.config["provenance"]["gate_reused"], reusing.config["provenance"]["gate_reused"]) == (
        False,
        True,
    )
    (folder / "gate.ckpt").write_bytes(b"another")
    assert logged(data, **options).artifacts["gate-jetson_mix"].digest != first.digest


def test_files_are_found_from_any_folder(
    logged: Logged, data: Results, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    run = logged(data, checkpoint="gate.ckpt", folder=".")
    assert run.artifacts["gate-jetson_mix"].files == {"gate.ckpt": folder / "gate.ckpt"}
    assert run.artifacts["frontier-jetson_mix"].files["frontier.csv"] == folder / "frontier.csv"


def test_the_configuration_says_where_the_figures_come_from(logged: Logged, data: Results) -> None:
    run = logged(data)
    assert run.config["provenance"] == dict(data.provenance)


def test_a_pools_name_may_hold_any_sign(logged: Logged, data: Results, folder: Path) -> None:
    run = logged(replace(data, pool="my pool/é"), folder=folder)
    assert [name for name in run.artifacts if name.startswith("frontier")] == ["frontier-my-pool-"]


def test_a_switched_off_wandb_is_told_nothing(data: Results, folder: Path, pool: dict[str, Any]) -> None:
    import wandb

    run = wandb.init(project="report", mode="disabled", dir=folder)
    log_to_wandb(run, data, checkpoint=folder / "gate.ckpt", gate_reused=True, pool=pool, folder=folder)
    assert finish_wandb(run) == "W&B: switched off"
    assert not [*folder.rglob("*.wandb"), *folder.rglob("*.table.json")]
