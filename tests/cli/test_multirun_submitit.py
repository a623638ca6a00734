"""Multiruns through submitit, by its local executor: a process for each job, as a node of a Slurm cluster would be."""

import pytest
from tests.cli.conftest import interrupted_once, started
from tests.cli.test_multirun import SMALL, rows

pytestmark = pytest.mark.slow
pytest.importorskip("hydra_plugins.hydra_submitit_launcher")

SWEEP = ("-m", "hydra/launcher=submitit_local", "certificate=off", *SMALL, "hydra.sweep.dir=sweep")


def test_jobs_of_submitit_share_a_gate_and_end_in_one_summary(tmp_path):
    running = started(tmp_path, *SWEEP, "budget.energy_j=200,900,1200")
    said, wrong = running.communicate(timeout=600)
    assert running.returncode == 0, wrong
    assert "summary of the sweep: sweep/summary.csv" in said
    found = rows(tmp_path / "sweep")
    assert [row["status"] for row in found] == ["infeasible", "optimal", "optimal"]
    assert sorted(row["gate_reused"] for row in found[1:]) == ["False", "True"]
    assert len(list((tmp_path / "sweep" / "gates").glob("*/gate.ckpt"))) == 1


def test_an_interrupted_sweep_of_submitit_keeps_the_jobs_that_ended(tmp_path):
    """Of two jobs one is infeasible at once; the other would train for hours."""
    long = ("trainer.max_epochs=1000000", "callbacks.early_stopping=null")
    running = started(tmp_path, *SWEEP, "budget.energy_j=200,900", *long)
    sweep = tmp_path / "sweep"
    files = (sweep / "0" / "job.json", sweep / "1" / "gate.ckpt")
    interrupted_once(running, lambda: all(file.exists() for file in files), 300, ends_in_s=120)
    assert [(row["job"], row["status"]) for row in rows(sweep)] == [("0", "infeasible")]
