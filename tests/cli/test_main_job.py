"""The main job, run for real: what it writes, prints and logs."""

import math

import numpy as np
import pytest
import torch
from tests.cli.conftest import read, script, setting_of
from tests.wandb_files import config_keys, logged_keys

from moe2_pl.cli._inputs import configured_inputs
from moe2_pl.outputs import ExpertOutputsDataModule
from moe2_pl.planning import results_of


def test_the_run_folder_holds_what_was_promised(main_job):
    for name in (
        "gate.ckpt",
        "metrics.csv",
        "frontier.csv",
        "frontier_by_category.csv",
        "baselines.csv",
        "parts.csv",
        "certificate.csv",
        "report.html",
        "train.log",
    ):
        assert (main_job.folder / name).stat().st_size > 0, name
    assert (main_job.folder / ".hydra" / "config.yaml").is_file()
    (offline,) = (main_job.folder / "wandb").glob("offline-run-*")
    log = (main_job.folder / "train.log").read_text()
    for said in ("family oracle, full pool", "Budget medium (", "report: ", f"W&B: wandb sync {offline}"):
        assert said in log
        assert said in main_job.stdout


def test_every_budget_of_the_grid_is_in_the_frontier_proven(main_job):
    rows = read(main_job.folder / "frontier.csv")
    grid = [r for r in rows if r["budget"] == "grid"]
    assert len(grid) == 144
    assert {r["status"] for r in rows} <= {"optimal", "infeasible"}
    assert sum(r["status"] == "optimal" for r in grid) > 100
    assert {"tight", "medium", "loose", "unlimited"} <= {r["budget"] for r in rows}


def test_the_certificate_of_the_chosen_deployment_stands_in_every_output(main_job):
    rows = read(main_job.folder / "certificate.csv")
    frontier = {r["budget"]: r for r in read(main_job.folder / "frontier.csv")}
    assert [(r["kind"], r["label"], r["seeds"]) for r in rows] == [("frontier", "medium", "1")]
    assert rows[0]["experts"] == frontier["medium"]["experts"]
    assert float(rows[0]["reused"]) == pytest.approx(float(frontier["medium"]["score"]))
    assert abs(float(rows[0]["regret"])) < 0.03
    assert "Preservation (quick, 1 seed): mean regret" in main_job.stdout
    assert "frontier's 49 plans (a subset, and who may answer what) are not covered" in " ".join(
        main_job.stdout.split()
    )
    assert "mean regret" in (main_job.folder / "report.html").read_text()


def test_a_looser_budget_is_never_planned_worse(main_job):
    rows = [r for r in read(main_job.folder / "frontier.csv") if r["budget"] == "grid"]
    planned = np.array(
        [float(r["planned"]) if r["status"] == "optimal" else -math.inf for r in rows]
    ).reshape(12, 12)
    assert (planned[1:] >= planned[:-1] - 1e-9).all()
    assert (planned[:, 1:] >= planned[:, :-1] - 1e-9).all()


def test_the_gate_beats_the_lookup_and_the_best_single_expert_without_limits(main_job):
    row = next(r for r in read(main_job.folder / "frontier.csv") if r["budget"] == "unlimited")
    assert float(row["score"]) > float(row["lookup_score"]) + 0.01
    assert float(row["score"]) > float(row["best_single_score"]) + 0.01


def test_the_closing_table_names_every_baseline(main_job):
    for word in ("best single", "lookup", "MoE²", "full pool", "family oracle", "oracle", "report.html"):
        assert word in main_job.stdout, word


def test_nothing_but_the_table_and_the_log_is_printed_without_a_terminal(main_job):
    assert "Epoch" not in main_job.stdout + main_job.stderr


def test_no_weight_of_the_gate_changes_during_the_sweep(main_job):
    setting, gate, settings = setting_of(main_job, "sweep.energy_points=12", "sweep.latency_points=12")
    before = {k: v.clone() for k, v in gate.state_dict().items()}
    data = results_of(setting, gate, settings["solver"])
    assert len(data.grid) == 144
    assert all(torch.equal(v, before[k]) for k, v in gate.state_dict().items())


def test_held_out_scores_never_influence_the_plan(main_job):
    """Plans are made from training and validation rows: changing held-out scores changes only what is realised."""
    setting, gate, settings = setting_of(main_job)
    first = results_of(setting, gate, settings["solver"])
    setting.outputs.score[setting.data.split.test] = 0.0
    second = results_of(setting, gate, settings["solver"])
    assert [r.experts for r in first.presets] == [r.experts for r in second.presets]
    assert [r.planned for r in first.presets] == [r.planned for r in second.presets]
    assert {r.score for r in second.presets} == {0.0}


def test_evaluate_answers_one_budget_without_training(main_job, tmp_path):
    checkpoint = main_job.folder / "gate.ckpt"
    before = checkpoint.read_bytes()
    done = script(
        "evaluate.py",
        f"checkpoint={checkpoint}",
        "budget.energy_j=2000",
        "budget.latency_s=25",
        "certificate=off",
        f"hydra.run.dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    row = read(tmp_path / "frontier.csv")[0]
    assert (row["budget"], float(row["energy_budget_j"]), float(row["latency_budget_s"])) == (
        "chosen",
        2000,
        25,
    )
    assert checkpoint.read_bytes() == before


def test_limits_can_differ_between_categories(main_job):
    limits = "{tutor: 30, assistant: 3, default: 40}"
    setting, gate, settings = setting_of(main_job, f"budget.latency_s={limits}")
    data = results_of(setting, gate, settings["solver"])
    by_name = {c.category: c for c in data.chosen.categories}
    assert by_name["tutor"].latency_budget_s == 30
    assert by_name["coder"].latency_budget_s == 40
    assert by_name["assistant"].latency_s <= 3
    assert not set(by_name["assistant"].allowed) & {"nemotron-51b", "chatqa-70b"}
    assert "nemotron-51b" in by_name["tutor"].allowed


def test_watts_of_the_fleet_are_joules_a_query(main_job):
    setting, _, _ = setting_of(main_job, "budget.power_w=140")
    assert setting.budgets["chosen"].energy_j == pytest.approx(140 / 0.07)


def test_the_report_says_how_far_modelled_speeds_may_be_off(main_job):
    setting, gate, settings = setting_of(main_job, "expert_pool.devices.rtx_b.speed_error=null")
    notes = " ".join(results_of(setting, gate, settings["solver"]).notes)
    assert "within 16% of the model's for rtx_a; 35% of the model's for orin_a, orin_b, orin_c." in notes
    assert "For rtx_b the model was not compared" in notes


def test_prices_keep_a_busy_fleet_near_the_target(main_job):
    busiest, score = {}, {}
    for target in ("null", "0.6"):
        setting, gate, settings = setting_of(
            main_job, "budget=unlimited", "traffic.queries_per_s=0.15", f"traffic.max_utilisation={target}"
        )
        row = results_of(setting, gate, settings["solver"]).chosen
        busiest[target], score[target] = max(row.utilisation.values()), row.score
        assert bool(row.prices) == (target != "null")
        assert row.load_loss == pytest.approx(score["null"] - row.score)
    assert busiest["null"] > 1
    # Fitted on validation queries: held-out ones may be somewhat longer.
    assert busiest["0.6"] < 0.72
    assert score["0.6"] > score["null"] - 0.03


def test_the_lookup_is_blind_where_the_category_is_hidden(main_job):
    setting, _, _ = setting_of(main_job)
    hidden = ExpertOutputsDataModule(category="unknown", experts=setting.pool.model_ids)
    blind = configured_inputs(setting_of(main_job)[2], setting.pool, hidden)
    assert (blind.baselines["lookup"].rank == blind.baselines["lookup"].rank[0]).all()


def test_an_offline_wandb_run_holds_metrics_config_and_frontier(main_job):
    keys = logged_keys(main_job.folder)
    assert {"val/loss", "val/score", "train/loss"} <= keys
    assert any("frontier" in key for key in keys)
    assert {"expert_pool", "gate", "objective", "seed"} <= {
        k.split("/")[0] for k in config_keys(main_job.folder)
    }


@pytest.mark.slow
def test_multirun_trains_once_for_each_combination(tmp_path):
    done = script(
        "train.py",
        "-m",
        "expert_pool=jetson_mix",
        "objective=competence,mixture",
        "seed=0,1",
        "logger=csv",
        "certificate=off",
        f"hydra.sweep.dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*/report.html"))) == 4


def test_multirun_in_parallel_leaves_one_folder_per_job(tmp_path):
    done = script(
        "train.py",
        "-m",
        "objective=competence,mixture",
        "logger=csv",
        "certificate=off",
        "trainer.max_epochs=2",
        "sweep.energy_points=0",
        "hydra/launcher=joblib",
        f"hydra.sweep.dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    assert sorted(p.parent.name for p in tmp_path.glob("*/report.html")) == ["0", "1"]
    assert "nats" in (tmp_path / "1" / "report.html").read_text()


def test_the_gate_serves_the_fleet_of_placements_unchanged(main_job):
    setting, gate, settings = setting_of(main_job, "expert_pool=jetson_mix_fleet", "certificate=off")
    assert (len(setting.pool.experts), len(setting.pool.model_ids), len(setting.pool.devices)) == (40, 9, 8)
    result = results_of(setting, gate, settings["solver"])
    for row in result.presets[:3]:
        assert row.status == "optimal"
        boxes = [setting.pool.devices[setting.pool.device_names.index(d)].box for d in row.devices]
        assert len(set(boxes)) == len(boxes)
        assert row.score > row.lookup_score
        # Of placements that are worth the same the one with the fewest joules stands for the model.
        problem, budget = setting.baselines["lookup"].problem, setting.budgets[row.budget]
        model = row.best_single.split("@")[0]
        twins = [n for n in setting.pool.names if n.startswith(f"{model}@")]
        worth = {n: (-problem.value([n], budget), problem.joules([n], budget)) for n in twins}
        assert min(worth, key=lambda n: worth[n]) == row.best_single
    assert len(result.calibration) == 9


def test_baselines_keep_the_budget_and_none_plans_better(main_job):
    rows = read(main_job.folder / "baselines.csv")
    frontier = {r["budget"]: r for r in read(main_job.folder / "frontier.csv")}
    here = {r["baseline"]: r for r in rows if r["budget"] == "medium"}
    assert set(here) == {
        "MoE²",
        "lookup",
        "best single expert",
        "single device",
        "greedy",
        "random subset",
        "no gate",
    }
    for name, row in here.items():
        # Budgets limit the means of planning queries, by category; held-out means stay near.
        assert float(row["energy_j"]) < 1.05 * float(frontier["medium"]["energy_budget_j"]), name
        assert float(row["latency_s"]) < 1.05 * float(frontier["medium"]["latency_budget_s"]), name
    assert here["MoE²"]["score"] == frontier["medium"]["score"]
    assert float(here["lookup"]["score"]) == pytest.approx(float(frontier["medium"]["lookup_score"]))
    for name in ("no gate", "random subset", "single device", "best single expert"):
        assert float(here[name]["score"]) < float(here["MoE²"]["score"]) - 0.02, name
    (everything,) = (r for r in rows if r["baseline"] == "all experts")
    assert float(everything["energy_j"]) > float(here["MoE²"]["energy_j"])


def test_a_mobile_user_waits_for_the_air_as_well(main_job):
    near, _, _ = setting_of(main_job)
    far, _, _ = setting_of(main_job, "network@expert_pool.network=mobile_4g")
    more = far.costs.latency_s - near.costs.latency_s
    assert (more > 0.07).all()  # round trip and mean jitter, then bytes
    assert (far.costs.busy_s == near.costs.busy_s).all()
