"""A checkpoint says whether its training came to its end, whatever has ended it."""

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from tests.conftest import make_outputs

from moe2_pl.gate import GatingModule, TrainingMark, load_gate, run_fit
from moe2_pl.outputs import ExpertOutputsDataModule

SMALL = {"name": "mlp", "hidden": 8, "members": 1}


class AtEpoch(Callback):
    """Does something once an epoch's checkpoint is written."""

    def __init__(self, epoch, does):
        self.epoch, self.does = epoch, does

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            self.does()


def fit(folder: Path, *callbacks: Callback, epochs: int = 4, mark: bool = True, **keep) -> None:
    data = ExpertOutputsDataModule(make_outputs(200), batch_size=64)
    gate = GatingModule(data.spec, data.outputs.model_id, network=SMALL)
    # Every epoch's checkpoint takes the place of the one before.
    kept = ModelCheckpoint(folder, "gate", **{"enable_version_counter": False, **keep})
    trainer = L.Trainer(
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        num_sanity_val_steps=0,
        callbacks=[kept, *callbacks, *[TrainingMark()][:mark]],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_fit(trainer, gate, data)


def interrupt():
    raise KeyboardInterrupt


def test_an_interrupted_training_is_told_with_the_epoch_that_was_kept(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, AtEpoch(2, interrupt))
    assert load_gate(tmp_path / "gate.ckpt").unfinished == (
        "The gate's training did not come to its end: its checkpoint is of epoch 2 of at most 4."
    )


def test_a_killed_training_is_told_alike(tmp_path):
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, signal, sys\nfrom pathlib import Path\nfrom tests.gate.test_training_mark import AtEpoch, fit\n"
            "fit(Path(sys.argv[1]), AtEpoch(1, lambda: os.kill(os.getpid(), signal.SIGKILL)))",
            str(tmp_path),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert "of epoch 1 of at most 4" in load_gate(tmp_path / "gate.ckpt").unfinished


def test_a_training_that_ends_leaves_nothing_to_say_and_nothing_else_changed(tmp_path):
    before = {}

    class Before(Callback):
        def on_train_end(self, trainer, pl_module):
            before.update(torch.load(tmp_path / "gate.ckpt", weights_only=True))

    fit(tmp_path, Before())
    after = torch.load(tmp_path / "gate.ckpt", weights_only=True)
    assert not before["training"]["ended"]
    assert after["training"] == {"ended": True, "epoch": 4, "max_epochs": 4}
    assert after.keys() == before.keys()
    assert all(torch.equal(after["state_dict"][key], value) for key, value in before["state_dict"].items())
    assert load_gate(tmp_path / "gate.ckpt").unfinished == ""
    assert [path.name for path in tmp_path.iterdir()] == ["gate.ckpt"]


def test_early_stopping_is_an_end(tmp_path):
    fit(tmp_path, EarlyStopping("val/loss", patience=1, min_delta=10.0))
    mark = torch.load(tmp_path / "gate.ckpt", weights_only=True)["training"]
    assert mark == {"ended": True, "epoch": 2, "max_epochs": 4}


def test_every_epoch_that_is_kept_is_marked(tmp_path):
    several = {"monitor": "val/loss", "save_top_k": 2, "save_last": True, "enable_version_counter": True}
    fit(tmp_path, **several)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["gate-v1.ckpt", "gate.ckpt", "last.ckpt"]
    assert not any(load_gate(tmp_path / name).unfinished for name in kept)


def test_of_checkpoints_without_a_mark_nothing_is_said(tmp_path):
    fit(tmp_path / "unmarked", mark=False)
    fit(tmp_path / "weights", save_weights_only=True)
    assert load_gate(tmp_path / "unmarked" / "gate.ckpt").unfinished == ""
    assert load_gate(tmp_path / "weights" / "gate.ckpt").unfinished == ""
