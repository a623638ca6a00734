"""``| head`` ends a command without a word: nobody reads what it would still print."""

import os
import subprocess
import sys

import pytest
from tests.cli.conftest import ROOT


def unread(*command: str, lines: int = 0) -> tuple[int, str]:
    """Status and standard error of a command whose reader leaves after so many lines."""
    # With the buffer that users have: what it still holds is written as the interpreter ends.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=buffered
    ) as running:
        for _ in range(lines):
            assert running.stdout.readline()
        running.stdout.close()
        said = running.stderr.read()
    return running.returncode, said


@pytest.mark.parametrize("flags", [["--help"], ["--version"], ["--cfg", "job"]])
def test_a_reader_that_leaves_before_the_end_ends_the_command_quietly(flags):
    assert unread(str(ROOT / "train.py"), *flags) == (1, "")


def test_a_reader_that_leaves_a_run_ends_it_quietly(tmp_path):
    quick = ("trainer.max_epochs=1", "gate=mlp", "logger=csv", "certificate=off")
    # The first line is the one before training; the epoch's is written for nobody.
    assert unread(str(ROOT / "train.py"), "-v", *quick, f"hydra.run.dir={tmp_path / 'run'}", lines=1) == (
        1,
        "",
    )
    assert not (tmp_path / "run" / "report.html").exists()


def test_a_reader_that_leaves_the_dashboard_s_definition_ends_it_quietly(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    assert unread("-m", "moe2_pl.report.workspace") == (1, "")


def test_an_error_after_lines_that_nobody_reads_is_still_told():
    told = (
        "import sys, time\nfrom moe2_pl.errors import MoE2Error, exit_status\n"
        "def work():\n    print('a line')\n    raise MoE2Error('why')\n"
        "time.sleep(1)\nsys.exit(exit_status(work, ''))"
    )
    assert unread("-c", told) == (1, "error: why\n")


@pytest.mark.parametrize("left", [True, False])
def test_a_broken_socket_is_told_from_a_reader_that_has_left(tmp_path, left):
    broken = (
        "from moe2_pl.errors import exit_status\ndef work(): raise BrokenPipeError\nexit_status(work, '')"
    )
    if left:
        assert unread("-c", f"import time; time.sleep(1)\n{broken}")[1] == ""
    else:
        done = subprocess.run([sys.executable, "-c", broken], capture_output=True, text=True, check=False)
        assert "BrokenPipeError" in done.stderr
