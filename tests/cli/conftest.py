"""One real run of the main job, shared by the tests that look at what it left behind."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from moe2_pl.cli import evaluate, run, train
from moe2_pl.cli._inputs import configured_inputs
from moe2_pl.cli._schema import register_schema
from moe2_pl.gate import GatingModule, load_gate
from moe2_pl.outputs import ExpertOutputsDataModule
from moe2_pl.planning import Inputs
from moe2_pl.pool import ExpertPool

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several processes one runs the main job and all tests that look at it."""
    for item in items:
        if "main_job" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("main_job"))


@dataclass(frozen=True)
class MainJob:
    """A finished run: its folder and what it printed."""

    folder: Path
    stdout: str
    stderr: str


def script(name: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    """Run ``train.py`` or ``evaluate.py`` as a user would."""
    return subprocess.run(
        [sys.executable, str(ROOT / name), *overrides],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def started(folder: Path, *overrides: str, **environment: str) -> subprocess.Popen[str]:
    """``train.py`` in ``folder``, as the head of a process group that Ctrl-C can be sent to."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *overrides],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def interrupted_once(
    running: subprocess.Popen[str], ready: Callable[[], bool], within_s: float, ends_in_s: float = 60
) -> tuple[str, str]:
    """What a run says on standard output and error if Ctrl-C comes once it is ``ready``; its status is 130."""
    until = time.monotonic() + within_s
    while not ready():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < until
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGINT)
    said, wrong = running.communicate(timeout=ends_in_s)
    assert running.returncode == 130, wrong
    assert "interrupted" in wrong
    return said, wrong


@pytest.fixture(scope="session")
def main_job(tmp_path_factory) -> MainJob:
    """``python train.py expert_pool=jetson_mix`` with everything at its default."""
    folder = tmp_path_factory.mktemp("main_job")
    done = script("train.py", "expert_pool=jetson_mix", f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stderr
    return MainJob(folder, done.stdout, done.stderr)


def read(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file."""
    with path.open() as file:
        return list(csv.DictReader(file))


def setting_of(main_job: MainJob, *overrides: str) -> tuple[Inputs, GatingModule, dict[str, Any]]:
    """What ``evaluate.py`` makes of the main job's checkpoint: the setting, the gate and the configuration."""
    register_schema()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        given = (f"checkpoint={main_job.folder / 'gate.ckpt'}", f"paths.output_dir={main_job.folder}")
        config = compose("evaluate", [*given, *overrides])
    settings = OmegaConf.to_container(config, resolve=True)
    loaded = load_gate(settings["checkpoint"])
    pool = ExpertPool.from_mapping(settings["expert_pool"])
    return configured_inputs(settings, pool, ExpertOutputsDataModule(**loaded.data)), loaded.gate, settings


@pytest.fixture
def call(tmp_path, monkeypatch, capsys) -> Callable[..., str]:
    """Call an entry point in this process; returns its standard error if it exits with 1."""

    def called(name: str, *overrides: str) -> str:
        task = {"train": train, "evaluate": evaluate}[name]
        monkeypatch.setattr(sys, "argv", [f"{name}.py", f"hydra.run.dir={tmp_path / 'run'}", *overrides])
        GlobalHydra.instance().clear()
        with pytest.raises(SystemExit) as exited:
            run(ROOT / "conf", name, task)
        assert exited.value.code == 1
        return capsys.readouterr().err

    return called
