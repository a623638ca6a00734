"""Multiruns on Ray: a cluster that the sweep starts, one that runs already, and Ctrl-C."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import interrupted_once, started
from tests.cli.test_multirun import SMALL, rows

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]
pytest.importorskip("hydra_plugins.hydra_ray_launcher")

SWEEP = ("-m", "hydra/launcher=ray", "certificate=off", *SMALL, "hydra.sweep.dir=sweep")


def files_of_jobs(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("job.json")}


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> tuple[Path, int, str]:
    """Three budgets, the least infeasible, with a gate that can be and one that cannot."""
    folder = tmp_path_factory.mktemp("ray")
    sweep = started(folder, *SWEEP, "budget.energy_j=200,900,1200", "gate.network.hidden=32,abc")
    said = "".join(sweep.communicate(timeout=600))
    return folder, sweep.returncode, said


def test_a_sweep_on_ray_ends_with_a_row_for_each_job_in_the_folder_of_the_driver(swept):
    folder, _, said = swept
    assert "summary of the sweep: sweep/summary.csv" in said
    found = rows(folder / "sweep")
    assert [(row["budget.energy_j"], row["gate.network.hidden"], row["status"]) for row in found] == [
        ("200", "32", "infeasible"),
        ("200", "abc", "infeasible"),
        ("900", "32", "optimal"),
        ("1200", "32", "optimal"),
    ]
    assert files_of_jobs(folder) == {f"sweep/{row['job']}/job.json" for row in found}


def test_the_jobs_on_ray_train_one_gate(swept):
    folder, _, _ = swept
    gates = list((folder / "sweep" / "gates").glob("*/gate.ckpt"))
    assert len(gates) == 1
    feasible = rows(folder / "sweep")[2:]
    assert [row["gate_address"][:20] for row in feasible] == [gates[0].parent.name] * 2
    assert sorted(row["gate_reused"] for row in feasible) == ["False", "True"]


def test_a_job_that_fails_on_ray_ends_alone_and_is_named(swept):
    folder, status, said = swept
    assert status == 1
    assert "error: job 3 (" in said
    assert "gate.network.hidden is 'abc'" in said
    assert "1 more failed" in said
    assert "Traceback" not in said
    assert (folder / "sweep" / "5" / "error.txt").is_file()


@pytest.fixture
def cluster(tmp_path) -> Iterator[str]:
    """The address of a cluster that was started in another folder."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    scratch = tempfile.mkdtemp(prefix="ray")  # the path of a socket must be short
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    head = subprocess.Popen(
        [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"),
            *("--num-cpus=2", "--include-dashboard=false", f"--temp-dir={scratch}"),
        ],
        cwd=elsewhere,
        env={**os.environ, "RAY_AUTH_MODE": "disabled"},
        stdout=(tmp_path / "head.log").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 120
        while "Ray runtime started" not in (tmp_path / "head.log").read_text():
            assert head.poll() is None, (tmp_path / "head.log").read_text()
            assert time.monotonic() < until
            time.sleep(0.5)
        yield f"127.0.0.1:{port}"
    finally:
        head.terminate()
        head.wait(60)
        shutil.rmtree(scratch, ignore_errors=True)


def test_jobs_on_a_cluster_that_runs_already_leave_their_files_where_the_sweep_was_started(cluster, tmp_path):
    sweep = started(
        tmp_path / "here",
        *SWEEP,
        *("budget=tight,medium", "paths.gates=gates", f"hydra.launcher.ray.init.address={cluster}"),
        RAY_AUTH_MODE="disabled",
    )
    said = "".join(sweep.communicate(timeout=600))
    assert sweep.returncode == 0, said
    assert files_of_jobs(tmp_path) == {"here/sweep/0/job.json", "here/sweep/1/job.json"}
    assert [row["status"] for row in rows(tmp_path / "here" / "sweep")] == ["optimal"] * 2
    assert len(list((tmp_path / "here" / "gates").glob("*/gate.ckpt"))) == 1
    assert not list((tmp_path / "elsewhere").iterdir())


def test_an_interrupted_sweep_on_ray_keeps_the_jobs_that_ended(tmp_path):
    seeds = ",".join(map(str, range(20)))
    running = started(tmp_path, *SWEEP, f"seed={seeds}")
    ended: set[str] = set()

    def two_ended() -> bool:
        ended.update(path.split("/")[1] for path in files_of_jobs(tmp_path))
        return len(ended) >= 2

    said = "".join(interrupted_once(running, two_ended, 300, ends_in_s=120))
    assert "summary of the sweep: sweep/summary.csv" in said
    assert "Traceback" not in said
    found = {row["job"] for row in rows(tmp_path / "sweep")}
    assert ended <= found
    assert len(found) < 20
