"""A checkpoint is data: its recipe names optimizers of a list, and everything that changes a gate arrives in it."""

import ast
from pathlib import Path

import lightning as L
import pytest
import torch
from tests.conftest import make_outputs

import moe2_pl
from moe2_pl.errors import CheckpointError
from moe2_pl.gate import GatingModule, fit_gate, kept_recipe, load_gate
from moe2_pl.outputs import ExpertOutputsDataModule

ADAMW = {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.01}
RECIPE = {"optimizer": ADAMW, "scheduler": None, "max_epochs": 1, "patience": 1}


def checkpoint(folder: Path, recipe: object) -> Path:
    """A checkpoint as training writes it, but for its recipe."""
    data = ExpertOutputsDataModule(make_outputs(100), batch_size=64)
    data.setup()
    gate = GatingModule(data.spec, data.outputs.model_id, {"name": "prior"})
    content = {
        "state_dict": gate.state_dict(),
        "hyper_parameters": {**gate.hparams, "recipe": recipe},
        "datamodule_hyper_parameters": {},
    }
    torch.save(content, folder / "gate.ckpt")
    return folder / "gate.ckpt"


@pytest.mark.parametrize("name", ["torch.optim.AdamW", "torch.optim.adamw.AdamW", "torch.optim.SGD"])
def test_a_recipe_of_names_and_numbers_is_read(tmp_path, name):
    recipe = {**RECIPE, "optimizer": {"_target_": name, "_partial_": True, "lr": 0.1}}
    assert load_gate(checkpoint(tmp_path, recipe)).gate.recipe == recipe


@pytest.mark.parametrize(
    "bad",
    [
        {"optimizer": {"_target_": "pathlib.Path.unlink", "self": "HERE"}},
        {"optimizer": {"_target_": "joblib.load", "filename": "HERE"}},
        {"optimizer": {"_target_": "builtins.eval"}},
        {"optimizer": {**ADAMW, "lr": {"_target_": "pathlib.Path.unlink", "self": "HERE"}}},
        {"optimizer": {**ADAMW, "betas": [{"_target_": "os.getcwd"}]}},
        {"optimizer": {**ADAMW, "_args_": ["HERE"]}},
        {"optimizer": [ADAMW]},
        {"scheduler": {"_target_": "torch.optim.lr_scheduler.LambdaLR", "lr_lambda": "HERE"}},
        {"scheduler": {"_target_": "torch.optim.AdamW"}},
        {"max_epochs": {"_target_": "os.getcwd"}},
        {"trainer": {"callbacks": "HERE"}},
        {"trainer": {"precision": {"_target_": "os.getcwd"}}},
        {"surprise": 1},
    ],
)
def test_a_recipe_that_could_run_code_is_refused_and_runs_nothing(tmp_path, bad):
    kept = tmp_path / "kept"
    kept.write_text("still here")
    there = eval(repr(bad).replace("HERE", str(kept)))
    with pytest.raises(CheckpointError, match="recipe"):
        load_gate(checkpoint(tmp_path, {**RECIPE, **there}))
    assert kept.read_text() == "still here"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("gradient_clip_val", 0.5),
        ("accumulate_grad_batches", 2),
        ("precision", "bf16-mixed"),
        ("max_steps", 3),
        ("min_epochs", 1),
        ("limit_train_batches", 2),
    ],
)
def test_every_setting_that_changes_a_gate_arrives_where_it_is_retrained(monkeypatch, setting, value):
    seen = {}
    trainer = L.Trainer

    def watched(**options: object) -> L.Trainer:
        seen.update(options)
        return trainer(**options)

    monkeypatch.setattr(L, "Trainer", watched)
    recipe = kept_recipe({"optimizer": ADAMW, "scheduler": None}, {"max_epochs": 1, setting: value}, {})
    data = ExpertOutputsDataModule(make_outputs(200), batch_size=64)
    fit_gate(data, network={"name": "linear"}, objective={}, fitted=None, recipe=recipe, seed=0)
    assert seen[setting] == value


def test_gate_and_certificate_know_no_hydra():
    for room in ("gate", "certificate"):
        for file in (Path(moe2_pl.__file__).parent / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not any(name.split(".")[0] in ("hydra", "omegaconf") for name in names), file
