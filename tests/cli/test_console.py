"""What a run says: bars at a terminal, nothing of the kind elsewhere, detail when asked, and a log of it all."""

import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text
from tests.cli.conftest import ROOT, script

from moe2_pl.cli import _console
from moe2_pl.cli._run_log import show
from moe2_pl.report._console import sized

SMALL = (
    *("gate=linear", "trainer.max_epochs=2", "certificate=off", "logger=csv"),
    *("sweep.energy_points=3", "sweep.latency_points=3"),
)


def test_detail_is_shown_when_asked_for_and_the_log_has_the_same_lines(tmp_path: Path) -> None:
    quiet = script("train.py", *SMALL, f"hydra.run.dir={tmp_path / 'quiet'}")
    loud = script("train.py", "-v", *SMALL, f"hydra.run.dir={tmp_path / 'loud'}")
    assert quiet.returncode == loud.returncode == 0, quiet.stderr + loud.stderr
    for detail in ("epoch 1: val/loss", "3664 training, 916 validation and 1528 held-out", "lookup, Budget("):
        assert detail in loud.stdout
        assert detail not in quiet.stdout
    for run, folder in ((quiet, "quiet"), (loud, "loud")):
        lines = (tmp_path / folder / "train.log").read_text().splitlines()
        assert any("fitted the gate" in line for line in lines)
        (summary,) = (line for line in lines if line.endswith("] summary:"))
        assert set(lines) - {summary} == set(run.stdout.splitlines())
        assert any(line.endswith(f"report: {tmp_path / folder / 'report.html'}") for line in lines)
        assert "\x1b" not in run.stdout + run.stderr
        assert not run.stderr


def test_a_log_has_the_tables_in_one_width_and_without_colour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")

    def printed(text: str, console: Console | None = None) -> None:
        sized(console).print(Text(text, style="bold red"))

    file = logging.FileHandler(tmp_path / "train.log", encoding="utf-8")
    logging.getLogger().addHandler(file)
    try:
        show("summary", printed, "word " * 30)
    finally:
        logging.getLogger().removeHandler(file)
        file.close()
    assert "\x1b[" in capsys.readouterr().out
    kept = (tmp_path / "train.log").read_text(encoding="utf-8")
    assert [line.split() for line in kept.splitlines()] == [["summary:"], ["word"] * 20, ["word"] * 10]


def test_an_error_is_in_the_log_of_its_run(tmp_path: Path) -> None:
    run = script("train.py", *SMALL, "budget.energy_j=1", f"hydra.run.dir={tmp_path}")
    assert run.returncode == 1
    assert run.stderr.startswith("error: budget ")
    assert run.stderr.strip() in (tmp_path / "train.log").read_text()


def test_bars_are_drawn_at_a_terminal_and_keep_out_of_what_is_piped(tmp_path: Path) -> None:
    terminal, theirs = pty.openpty()
    with (tmp_path / "stdout").open("w") as stdout:
        run = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *SMALL, f"hydra.run.dir={tmp_path / 'run'}"],
            stdout=stdout,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        )
        os.close(theirs)
        drawn = b""
        try:
            while part := os.read(terminal, 65536):
                drawn += part
        except OSError:  # how Linux says that the other end is closed
            pass
        assert run.wait() == 0
    assert b"Epoch 1/1" in drawn
    assert b"planning" in drawn
    piped = (tmp_path / "stdout").read_text()
    assert "fitted the gate" in piped
    assert "Budget medium" in piped
    assert "\x1b" not in piped


def test_long_work_tells_how_far_it_is_where_nobody_watches(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_console, "somebody_watches", lambda: False)
    monkeypatch.setattr(_console, "_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO), _console.watched("planning", 1200, done=200) as advance:
        advance(200, "")
        advance(700, "lookup")
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "planning: 200 of 1,200"
    assert second.startswith("planning: 700 of 1,200, lookup, ")
    assert second.endswith(" s left")
