"""Models join a trained gate, and what it said of the others stays as it was, to the last bit."""

import functools

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tests.conftest import make_outputs

from moe2_pl.errors import ConfigError, DataError
from moe2_pl.gate import GatingModule, load_gate
from moe2_pl.gate._forest import Forest
from moe2_pl.outputs import ExpertOutputsDataModule

OUTPUTS = make_outputs(1200, models=4)
ADAM = functools.partial(torch.optim.AdamW, lr=0.01)
FOREST = {"trees": 8, "min_leaf": 5, "max_features": 0.3}
KINDS = {
    "linear": {"network": {"name": "linear"}},
    "two_tower": {"network": {"name": "two_tower", "hidden": 16, "width": 8, "members": 2}},
    "knn": {"network": {"name": "prior"}, "fitted": {"name": "neighbours", "least": 5, "most": 40}},
    "trees": {"network": {"name": "prior"}, "fitted": FOREST},
    "blend": {"network": {"name": "mlp", "hidden": 16, "members": 2}, "fitted": FOREST},
}


def trained(gate: GatingModule, data: ExpertOutputsDataModule, folder) -> GatingModule:
    keep = ModelCheckpoint(folder, "gate", monitor="val/loss")
    L.Trainer(
        max_epochs=6,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[keep],
    ).fit(gate, datamodule=data)
    return load_gate(keep.best_model_path).gate


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory) -> tuple[GatingModule, GatingModule, ExpertOutputsDataModule]:
    """A gate of three models, the same with two more in two steps, and the data of all."""
    L.seed_everything(0, verbose=False)
    folder = tmp_path_factory.mktemp(request.param)
    names = OUTPUTS.experts
    first = ExpertOutputsDataModule(OUTPUTS, batch_size=64, experts=names[:2])
    old = trained(GatingModule(first.spec, names[:2], optimizer=ADAM, **KINDS[request.param]), first, folder)
    second = ExpertOutputsDataModule(OUTPUTS, batch_size=64, experts=(names[2], names[0]))
    middle = trained(GatingModule.extended(old, names[2:3], ADAM), second, folder)
    # The order of the data's models is not the gate's, and one of the gate's models has left the pool.
    third = ExpertOutputsDataModule(OUTPUTS, batch_size=64, experts=(names[3], names[2], names[1]))
    new = trained(GatingModule.extended(middle, names[3:], ADAM), third, folder)
    return old, new, ExpertOutputsDataModule(OUTPUTS, batch_size=64)


def test_what_was_said_of_the_others_is_bit_identical(pair):
    old, new, data = pair
    assert new.model_ids == OUTPUTS.model_id
    assert torch.equal(new.predict(data.features())[:, :2], old.predict(data.features()))
    kept = new.state_dict()
    for name, value in old.state_dict().items():
        stands = kept[name][..., :2] if name in ("prior", "fitted.value") else kept[name]
        assert torch.equal(stands, value), name


def test_the_new_models_are_learned(pair):
    _, new, data = pair
    test = data.split.test
    q = new.competence(data.features(test)).numpy()[:, 2:]
    score = OUTPUTS.score[test][:, 2:]
    constant = OUTPUTS.score[data.split.train][:, 2:].mean(0)
    # Brier score against what the mean alone would say.
    assert ((q - score) ** 2).mean() < 0.9 * ((constant - score) ** 2).mean()
    assert np.isfinite(q).all()


def test_leaves_answer_for_a_new_output_what_growing_with_it_would_have_said(pair):
    _, new, data = pair
    if not isinstance(new.fitted, Forest):
        pytest.skip("no forest")
    train = data.split.train
    x, category = new._inputs(data.features(train))
    target = torch.from_numpy(OUTPUTS.score[train]) - torch.sigmoid(category @ new.prior)
    leaf = new.fitted._leaf(x)
    for tree in range(len(leaf)):
        for node in leaf[tree].unique()[:5]:
            mean = target[leaf[tree] == node].mean(0)
            torch.testing.assert_close(new.fitted.value[tree, node].float(), mean, atol=2e-3, rtol=0)


def test_extensions_that_cannot_be_are_refused(pair):
    old, _, data = pair
    with pytest.raises(ConfigError, match="nothing to add"):
        GatingModule.extended(old, [])
    with pytest.raises(ConfigError, match="nothing to add"):
        GatingModule.extended(old, ["model-0"])
    with pytest.raises(DataError, match="no outcomes of gpt"):
        L.Trainer(max_epochs=1, logger=False, enable_checkpointing=False).fit(
            GatingModule.extended(old, ["model-2", "model-3", "gpt"]), datamodule=data
        )
    weights = GatingModule(data.spec, data.outputs.model_id, objective={"name": "mixture"})
    with pytest.raises(ConfigError, match="mixture"):
        GatingModule.extended(weights, ["gpt"])
