"""``evaluate.py`` says what it needs and reads, and why it takes nothing that only training has."""

import pytest
from tests.cli.conftest import ROOT, script


def test_evaluations_say_what_they_need(call):
    printed = call("evaluate")
    assert "evaluate.py needs a trained gate: checkpoint=outputs/<date>/<time>/gate.ckpt" in printed
    assert printed.count("\n") == 1


TRAIN_ONLY = {
    "logger=csv": "evaluate.py takes no 'logger': it logs to nothing, W&B included; its results are files",
    "+logger=csv": "evaluate.py takes no 'logger'",
    "trainer.max_epochs=3": "evaluate.py takes no 'trainer': a gate's training and data are fixed in its checkpoint",
    "+trainer.max_epochs=3": "evaluate.py takes no 'trainer'",
    "objective=mixture": "evaluate.py takes no 'objective'",
    "gate.network.hidden=3": "evaluate.py takes no 'gate'",
    "callbacks=default": "evaluate.py takes no 'callbacks'",
    "seed=1": "evaluate.py takes no 'seed'",
    "precompute=ray": "it asks no models",
    "stages=[fit]": "it only evaluates",
    "experiment=paper_mmlu": "evaluate.py takes no 'gate'",
}


@pytest.mark.parametrize("override", TRAIN_ONLY)
def test_what_only_training_reads_is_not_advised_to_evaluations(call, override):
    printed = call("evaluate", "checkpoint=gate.ckpt", override)
    assert TRAIN_ONLY[override] in printed
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1


def test_a_sweep_over_what_only_training_reads_is_refused_alike(tmp_path):
    sweep = f"hydra.sweep.dir={tmp_path / 'sweep'}"
    done = script("evaluate.py", "-m", "checkpoint=gate.ckpt", "seed=0,1", sweep)
    assert done.returncode == 1
    assert done.stderr.startswith("error: evaluate.py takes no 'seed': ")
    assert done.stderr.count("\n") == 1


def test_a_key_that_nobody_reads_is_unknown_to_evaluations_too(call):
    assert "unknown key 'budgt': did you mean 'budget'?" in call("evaluate", "budgt=3")


# Groups and experiments that only train.py reads.
TRAIN_GROUPS = {"data", "precompute", "encoder", "gate", "objective", "trainer", "logger", "callbacks"}
TRAIN_EXPERIMENTS = {"tune_gate", "paper_mmlu"}


def test_help_of_evaluations_is_their_own_and_lists_what_they_read():
    said = script("evaluate.py", "--help").stdout
    assert "python evaluate.py checkpoint=" in said
    assert "python train.py expert_pool" not in said
    listed = {}
    for line in said.partition("Groups and their options")[2].partition("Often set")[0].splitlines():
        group, colon, options = line.strip().partition(": ")
        if colon:
            listed[group.partition("@")[0]] = set(options.split(", "))
    expected = {
        folder.name: {path.stem for path in folder.iterdir()}
        for folder in (ROOT / "conf").iterdir()
        if folder.name not in {*TRAIN_GROUPS, "hydra"} and folder.is_dir()
    }
    expected["experiment"] -= TRAIN_EXPERIMENTS
    assert listed == expected
