"""Two processes under Lightning's DDP take the steps that one takes with twice the batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = """
import functools, sys
import lightning as L, torch
from tests.conftest import make_outputs
from moe2_pl.gate import GatingModule
from moe2_pl.outputs import ExpertOutputsDataModule

def main(devices, target):
    L.seed_everything(0, verbose=False)
    data = ExpertOutputsDataModule(make_outputs(801), batch_size=480 // devices)
    # One step an epoch sees all of it: Lightning shuffles batches among processes, so that smaller ones meet others.
    assert len(data.split.train) == 480
    gate = GatingModule(
        data.spec, data.outputs.model_id,
        {"name": "mlp", "hidden": 16, "members": 2, "dropout": 0.0, "input_dropout": 0.0},
        optimizer=functools.partial(torch.optim.SGD, lr=0.1),
    )
    trainer = L.Trainer(
        max_epochs=10, accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto",
        logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )
    trainer.fit(gate, datamodule=data)
    if trainer.is_global_zero:
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        torch.save({"state": gate.state_dict(), "metrics": metrics}, target)

main(int(sys.argv[1]), sys.argv[2])
"""


@pytest.fixture(scope="module")
def fits(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("ddp")
    script = folder / "fit.py"
    script.write_text(SCRIPT)
    found = []
    for devices in (1, 2):
        target = folder / f"{devices}.pt"
        done = subprocess.run(
            [sys.executable, str(script), str(devices), str(target)],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(torch.load(target, weights_only=True))
    return found


def test_loss_score_and_weights_are_those_of_one_process(fits):
    one, two = fits
    for name, value in one["metrics"].items():
        assert two["metrics"][name] == pytest.approx(value, rel=1e-4), name
    for name, value in one["state"].items():
        torch.testing.assert_close(two["state"][name], value, rtol=1e-4, atol=1e-6)
