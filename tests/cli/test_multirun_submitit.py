"""Multiruns through submitit, by its local executor: a process for each job, as a node of a Slurm cluster would be."""

import os
import signal
import subprocess
import sys
import time

import pytest
from tests.cli.conftest import ROOT
from tests.cli.test_multirun import SMALL, rows

pytestmark = pytest.mark.slow
pytest.importorskip("hydra_plugins.hydra_submitit_launcher")

SWEEP = ("-m", "hydra/launcher=submitit_local", "certificate=off", *SMALL, "hydra.sweep.dir=sweep")


def started(folder, *overrides: str) -> subprocess.Popen[str]:
    """A sweep of its own process group, in ``folder``."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *SWEEP, *overrides],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_jobs_of_submitit_share_a_gate_and_end_in_one_summary(tmp_path):
    running = started(tmp_path, "budget.energy_j=200,900,1200")
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
    running = started(tmp_path, "budget.energy_j=200,900", *long)
    until = time.monotonic() + 300
    sweep = tmp_path / "sweep"
    while not ((sweep / "0" / "job.json").exists() and (sweep / "1" / "gate.ckpt").exists()):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < until
        time.sleep(0.2)
    os.killpg(running.pid, signal.SIGINT)
    _, wrong = running.communicate(timeout=120)
    assert running.returncode == 130, wrong
    assert "interrupted" in wrong
    assert [(row["job"], row["status"]) for row in rows(sweep)] == [("0", "infeasible")]
