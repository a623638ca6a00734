"""Multiruns: one training and one certificate for all budgets, one table of all jobs, errors that end one job only."""

import csv
import json
import re
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from joblib import Parallel, delayed, register_parallel_backend
from omegaconf import OmegaConf
from tests.cli.conftest import ROOT, interrupted_once, script, started
from tests.report.conftest import frontier_row

from moe2_pl.cli import JoblibWorkers, SweepSummary, _sweep_end
from moe2_pl.cli._gate_store import gate_address
from moe2_pl.cli._joblib_backend import HeldBackend
from moe2_pl.cli._schema import register_schema
from moe2_pl.cli._sweep_asked import asked_jobs
from moe2_pl.cli._sweep_end import read_comparison
from moe2_pl.outputs import ExpertOutputsDataModule
from moe2_pl.report import write_frontier

SMALL = (
    "trainer.max_epochs=2",
    "gate=mlp",
    "logger=csv",
    "sweep.energy_points=0",
    "sweep.latency_points=0",
)


def rows(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def budgets(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    """Four budgets, one of them infeasible."""
    sweep = tmp_path_factory.mktemp("budgets") / "sweep"
    done = script(
        *("train.py", "-m", "budget.energy_j=200,1200", "budget.latency_s=10,20"),
        *(*SMALL, f"hydra.sweep.dir={sweep}"),
    )
    return sweep, done


def test_a_sweep_ends_with_a_row_for_each_budget(budgets):
    sweep, done = budgets
    assert done.returncode == 0, done.stderr
    assert f"summary of the sweep: {sweep / 'summary.csv'}" in done.stdout
    found = rows(sweep)
    assert [(row["job"], row["budget.energy_j"], row["budget.latency_s"]) for row in found] == [
        ("0", "200", "10"),
        ("1", "200", "20"),
        ("2", "1200", "10"),
        ("3", "1200", "20"),
    ]
    assert [row["status"] for row in found] == ["infeasible"] * 2 + ["optimal"] * 2
    assert "needs" in found[0]["reason"]
    assert float(found[3]["latency_s"]) <= 20
    assert float(found[2]["planned"]) < float(found[3]["planned"])
    with (sweep / "3" / "frontier.csv").open(newline="") as file:
        chosen = next(csv.DictReader(file))
    assert {key: found[3][key] for key in chosen} == chosen


def test_every_line_of_a_job_says_which_job_and_an_infeasible_one_why(budgets):
    sweep, done = budgets
    lines = done.stdout.partition("summary of the sweep")[0].splitlines()
    own = [line for line in lines if "][HYDRA]" not in line]
    assert {line.partition(" ")[0] for line in own} == {f"#{job}" for job in range(4)}
    assert any(re.match(r"#3 \[\S+\] score 0\.\d+, .*/3/report\.html$", line) for line in own)
    why = rows(sweep)[0]["reason"].rpartition("; ")[2]
    assert why.startswith("an energy limit of ")
    assert any(
        re.match(r"#0 \[\S+\] infeasible", line)
        and line.endswith(f"(budget.energy_j=200 budget.latency_s=10): {why}")
        for line in own
    )
    for job in range(4):
        log = (sweep / str(job) / "train.log").read_text()
        assert {line.partition("] ")[2] for line in log.splitlines()} == {
            line.partition("] ")[2] for line in own if line.startswith(f"#{job} ")
        }
        assert "#" not in log


def test_a_search_goes_on_from_its_storage_and_says_what_matters_without_colours(tmp_path):
    import optuna

    storage, few = f"sqlite:///{tmp_path / 'tune.db'}", ("hydra.sweeper.n_trials=1", "hydra/launcher=basic")
    for at, trials in enumerate((1, 2)):
        folder = tmp_path / "a folder" / str(at)
        # The experiment alone makes it a multirun of Optuna.
        done = script(
            *("train.py", "experiment=tune_gate", *SMALL[:2], *few, f"hydra.sweep.dir='{folder}'"),
            *(f"hydra.sweeper.storage={storage}", "hydra.sweeper.study_name=gate"),
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        assert "\x1b" not in done.stdout
        assert not re.search("alembic|A new study", done.stdout)
        assert "[HYDRA] Best value: " in done.stdout
        assert [row["job"] for row in rows(folder)] == ["0"]
        assert "gate.network.dropout" in (folder / "optimization_results.yaml").read_text()
        said = [line for line in done.stdout.splitlines() if "W&B" in line]
        assert said == [f"W&B: wandb sync -n 1 '{folder}'/*/wandb/offline-run-*"]
        assert len(list(folder.glob("*/wandb/offline-run-*"))) == 1
        assert len(optuna.load_study(study_name="gate", storage=storage).trials) == trials


def test_a_sweep_ends_with_a_page_that_compares_its_jobs(budgets):
    sweep, done = budgets
    assert f"comparison of the jobs: {sweep / 'comparison.html'}" in done.stdout
    assert "Comparison of 4 jobs" in done.stdout
    text = (sweep / "comparison.html").read_text(encoding="utf-8")
    table = text[text.index('id="jobs"') : text.index('id="specs"')]
    assert re.findall(r'<th scope="row" class="number">(?:<a href="(.*?)">)?(\d)', table) == [
        ("", "0"),
        ("", "1"),
        ("2/report.html", "2"),
        ("3/report.html", "3"),
    ]
    assert all((sweep / job / "report.html").is_file() for job in "23")
    found = rows(sweep)
    for row in found[2:]:
        assert f"{float(row['score']):.3f} ± {float(row['score_half_width']):.3f}" in table
        assert f"{float(row['mean_regret']):+.3f}".replace("-", "−") in table
    answer = text[text.index('id="answer"') : text.index('id="jobs"')]
    assert "2 with a deployment, 2 infeasible" in answer
    assert found[0]["reason"].partition(": ")[2][:40] in answer


def test_the_jobs_of_a_sweep_train_one_gate_and_certify_it_once(budgets):
    sweep, _ = budgets
    (checkpoint,) = (sweep / "gates").glob("*/gate.ckpt")
    assert torch.load(checkpoint, weights_only=True)["training"]["ended"]
    feasible = rows(sweep)[2:]
    assert sorted(row["gate_reused"] for row in feasible) == ["False", "True"]
    assert len({row["gate_address"] for row in feasible}) == 1
    assert len(list((sweep / "gates").glob("*/certificate/*.npz"))) == 1
    certified = [(sweep / row["job"] / "certificate.csv").read_text() for row in feasible]
    assert certified[0] == certified[1]


def test_what_affects_training_makes_another_gate_and_what_does_not_does_not(tmp_path):
    def train(*overrides: str) -> bool:
        run = script("train.py", *SMALL, "certificate=off", *overrides, f"paths.gates={tmp_path / 'gates'}")
        assert run.returncode == 0, run.stderr
        return "the gate was trained before" in run.stdout

    run = f"hydra.run.dir={tmp_path / 'run'}"
    assert not train(run)
    same = ("budget=tight", "traffic.queries_per_s=0.05", "device@expert_pool.devices.orin_a=agx_thor")
    assert train(run, *same)
    assert not train(run, "seed=1")
    assert not train(run, "gate.network.hidden=32")


def test_a_job_that_fails_is_named_and_the_others_end(tmp_path):
    sweep = tmp_path / "sweep"
    done = script(
        *("train.py", "-m", "objective=competence", "gate.network.hidden=abc,32"),
        *(*SMALL, "certificate=off", f"hydra.sweep.dir={sweep}"),
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: job 0 (")
    assert "gate.network.hidden is 'abc'" in last
    assert [row["job"] for row in rows(sweep)] == ["1"]
    text = (sweep / "comparison.html").read_text(encoding="utf-8")
    answer = text[text.index('id="answer"') : text.index('id="jobs"')]
    assert "1 with a deployment, 1 failed" in answer
    assert "gate.network.hidden is &#39;abc&#39;" in answer


def test_an_interrupted_sweep_keeps_the_jobs_that_ended(tmp_path):
    sweep = tmp_path / "sweep"
    seeds = ",".join(map(str, range(20)))
    running = started(
        tmp_path,
        *("-m", f"seed={seeds}", "hydra.launcher.n_jobs=1", *SMALL),
        *("certificate=off", f"hydra.sweep.dir={sweep}"),
    )
    said, _ = interrupted_once(running, (sweep / "1" / "job.json").exists, 120)
    found = rows(sweep)
    assert 2 <= len(found) < 20
    assert all(json.loads((sweep / row["job"] / "job.json").read_text())["gate_address"] for row in found)
    page = (sweep / "comparison.html").read_text(encoding="utf-8")
    begun = len(list(sweep.glob("*/.hydra")))
    assert f"Comparison of {begun} of 20 jobs (partial: interrupted)</h1>" in page
    (progress,) = re.findall(rf"{len(found)} of 20 jobs ended, .*{20 - begun} never began\.", said)
    assert progress in page


def test_an_interrupt_while_workers_start_is_one_line(tmp_path):
    sweep, worker_seen = tmp_path / "sweep", []

    def importing() -> bool:
        """A tenth of a second after the first worker was there: it needs several to import what it runs."""
        children = psutil.Process(running.pid).children()
        worker_seen.append(any("--process-name" in child.cmdline() for child in children))
        return len(worker_seen) > 1 and worker_seen[-2]

    running = started(tmp_path, "-m", "seed=0,1", "hydra.launcher.n_jobs=2", f"hydra.sweep.dir={sweep}")
    _, wrong = interrupted_once(running, importing, 60)
    assert wrong.splitlines() == ["interrupted; finished answers and checkpoints are kept"]
    # No job has begun: there is nothing to merge or to compare.
    assert [path.name for path in sweep.iterdir()] == ["multirun.yaml"]


def holds_back() -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def held_back_before_and_in_its_job() -> tuple[bool, bool]:
    before = holds_back()
    JoblibWorkers().on_job_start(OmegaConf.create())
    return before, holds_back()


def test_workers_hold_an_interrupt_back_until_they_have_a_job():
    register_parallel_backend("held", HeldBackend)
    run = Parallel(n_jobs=2, backend="held", idle_worker_timeout=1)
    assert set(run(delayed(held_back_before_and_in_its_job)() for _ in range(2))) <= {
        (True, False),
        # The worker's second job.
        (False, False),
    }
    assert not holds_back()


def test_what_was_asked_is_known_before_it_is_begun():
    def asked(sweeper: dict, *task: str) -> list[list[str]]:
        config = OmegaConf.create({"hydra": {"sweeper": sweeper, "overrides": {"task": list(task)}}})
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return asked_jobs(config, GlobalHydra.instance().config_loader())

    basic = {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"}
    params = {**basic, "params": {"budget.energy_j": "500,700"}}
    assert asked(params, "seed=0,1", "gate=mlp") == [
        [f"budget.energy_j={joules}", f"seed={seed}", "gate=mlp"] for joules in (500, 700) for seed in (0, 1)
    ]
    budgets = [p.stem for p in (ROOT / "conf" / "budget").iterdir()]
    assert sorted(asked({**basic, "params": None}, "budget=glob(*)")) == [
        [f"budget={b}"] for b in sorted(budgets)
    ]
    search = {"_target_": "some.OptunaSweeper", "n_trials": 3, "sampler": {"_target_": "optuna.TPESampler"}}
    assert asked(search, "gate=mlp") == [[], [], []]
    assert asked({**search, "sampler": {"_target_": "optuna.GridSampler"}}, "gate=mlp") == []


def test_a_comparison_that_cannot_be_written_is_one_line_and_no_failure(tmp_path, monkeypatch, capsys):
    def refuse(sweep, **how):
        raise ValueError("no\nsuch thing")

    monkeypatch.setattr(_sweep_end, "read_comparison", refuse)
    monkeypatch.setattr(SweepSummary, "_open", tmp_path)
    with SweepSummary.merged_at_the_end():
        pass
    assert capsys.readouterr().err == "comparison.html could not be written: ValueError: no such thing\n"


@pytest.mark.parametrize("left", ["nothing", "frontier"])
def test_a_job_that_did_not_end_is_no_finished_one(tmp_path, left):
    folder = tmp_path / "0"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("- seed=1\n- paths.gates=elsewhere\n")
    (folder / ".hydra" / "hydra.yaml").write_text("hydra: {sweeper: {_target_: some.Optuna}}\n")
    if left == "frontier":
        write_frontier([frontier_row("chosen", 900.0, 12.0)], folder / "frontier.csv")
    comparison = read_comparison(tmp_path)
    assert comparison is not None
    assert comparison.partial
    assert comparison.search
    (job,) = comparison.jobs
    assert job.outcome == ("partial" if left == "frontier" else "interrupted")
    assert job.asked == {"seed": "1"}


def test_gates_that_extend_another_one_are_told_apart_by_its_content(tmp_path):
    register_schema()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        settings = OmegaConf.to_container(compose("train", ["paths.output_dir=."]), resolve=True)
    data = ExpertOutputsDataModule()
    addresses = []
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gate.ckpt").write_bytes(content)
        # A run folder stands for the checkpoint in it.
        for path in (tmp_path / name, tmp_path / name / "gate.ckpt"):
            settings["gate"]["extend_from"] = str(path)
            addresses.append(gate_address(settings, data))
    assert len(set(addresses[:4])) == len(set(addresses[4:])) == 1
    assert addresses[0] != addresses[4]
