"""Ctrl-C leaves whole files that say what is missing."""

import csv
import html
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.cli.conftest import ROOT, script

from moe2_pl.gate import GatingModule, load_gate
from moe2_pl.outputs import ExpertOutputsDataModule
from moe2_pl.planning import not_lost


def interrupted(folder: Path, word: str, *overrides: str) -> tuple[int, str]:
    """Status and output of a run that is interrupted a second after it has said ``word``."""
    log = folder.with_suffix(".log")
    with log.open("w") as file:
        running = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), "logger=csv", f"hydra.run.dir={folder}", *overrides],
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        until = time.monotonic() + 120
        while word not in log.read_text() and not list(folder.glob(word)):
            assert running.poll() is None, log.read_text()
            assert time.monotonic() < until
            time.sleep(0.1)
        time.sleep(1)
        running.send_signal(signal.SIGINT)
        try:
            return running.wait(60), log.read_text()
        finally:
            running.kill()


def logged(folder: Path) -> str:
    """The log of a run."""
    return (folder / "train.log").read_text()


def test_an_interrupted_training_leaves_the_best_checkpoint_so_far(tmp_path):
    status, said = interrupted(tmp_path / "run", "gate.ckpt", "trainer.max_epochs=5000", "gate=mlp")
    assert status == 130, said
    assert "training was interrupted in epoch" in said
    assert "interrupted; finished answers and checkpoints are kept" in logged(tmp_path / "run")
    assert load_gate(tmp_path / "run" / "gate.ckpt").gate.model_ids
    assert not (tmp_path / "run" / "frontier.csv").exists()
    # Whoever plans with it is told, on the terminal and in the report.
    checkpoint = f"checkpoint={tmp_path / 'run' / 'gate.ckpt'}"
    done = script("evaluate.py", checkpoint, "certificate=off", f"hydra.run.dir={tmp_path / 'plan'}")
    assert done.returncode == 0, done.stderr
    told = re.compile(
        r"The gate's training did not come to its end: its checkpoint is of epoch \d+ of at most 5000\."
    )
    assert told.search(done.stdout)
    assert told.search(html.unescape((tmp_path / "plan" / "report.html").read_text()))


def test_an_extension_of_a_gate_whose_training_was_interrupted_is_told_of_it(call, tmp_path):
    data = ExpertOutputsDataModule()
    gate = GatingModule(data.spec, data.outputs.model_id, network={"name": "linear"})
    content = {
        "state_dict": gate.state_dict(),
        "hyper_parameters": dict(gate.hparams),
        "datamodule_hyper_parameters": dict(data.hparams),
        "training": {"ended": False, "epoch": 3, "max_epochs": 60},
    }
    torch.save(content, tmp_path / "gate.ckpt")
    # It knows all models, so that nothing is trained; it is looked at before.
    assert "nothing to add" in call("train", f"gate.extend_from={tmp_path / 'gate.ckpt'}", "logger=csv")
    assert (
        "gate.extend_from: The gate's training did not come to its end"
        in (tmp_path / "run" / "train.log").read_text()
    )


def test_an_interrupted_certificate_leaves_the_frontier_and_a_report_marked_partial(tmp_path):
    status, said = interrupted(
        tmp_path / "run", "planned", "trainer.max_epochs=3", "gate=mlp", "certificate=full"
    )
    assert status == 130, said
    for text in (said, logged(tmp_path / "run")):
        assert "MoE² on jetson_mix (partial: interrupted)" in text
        assert "interrupted; finished answers and checkpoints are kept" in text
    with (tmp_path / "run" / "frontier.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 148
    assert "The run was interrupted" in (tmp_path / "run" / "report.html").read_text()
    assert not (tmp_path / "run" / "certificate.csv").exists()


def test_short_work_after_long_is_begun_anew_once():
    tries, told = [], []

    def interrupted_at(first):
        tries.append(len(tries))
        if len(tries) <= first:
            raise KeyboardInterrupt
        return len(tries)

    assert not_lost(lambda: interrupted_at(1), lambda: told.append(1)) == 2
    assert told == [1]
    tries.clear()
    with pytest.raises(KeyboardInterrupt):
        not_lost(lambda: interrupted_at(2), lambda: told.append(2))
    assert len(tries) == 2
