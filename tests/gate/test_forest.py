"""The forest beside the network: the same trees in torch as in scikit-learn, blended by validation, kept whole."""

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from sklearn.ensemble import ExtraTreesRegressor

from moe2_pl.errors import ConfigError, UnknownNameError
from moe2_pl.gate import GatingModule, load_gate, temper
from moe2_pl.gate._forest import Forest
from moe2_pl.outputs import ExpertOutputsDataModule

SMALL = {"trees": 16, "min_leaf": 5, "max_features": 0.1}


@pytest.fixture(scope="module")
def data() -> ExpertOutputsDataModule:
    data = ExpertOutputsDataModule()
    data.setup()
    return data


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory) -> tuple[GatingModule, str]:
    L.seed_everything(0, verbose=False)
    gate = GatingModule(data.spec, data.outputs.model_id, fitted=SMALL)
    keep = ModelCheckpoint(tmp_path_factory.mktemp("blend"), "gate", monitor="val/loss")
    trainer = L.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[keep],
    )
    trainer.fit(gate, datamodule=data)
    return gate, keep.best_model_path


def test_torch_walks_the_trees_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(0)
    # Values on a coarse grid fall on thresholds' sides by the last bit.
    x = rng.normal(size=(1500, 7)).round(1).astype(np.float32)
    y = rng.random((1500, 3)).astype(np.float32)
    forest = Forest(trees=9, min_leaf=2, max_features=0.5)
    forest.grow(torch.from_numpy(x), torch.from_numpy(y), seed=3)
    reference = ExtraTreesRegressor(9, min_samples_leaf=2, max_features=0.5, random_state=3).fit(x, y)
    assert forest(torch.from_numpy(x)).numpy() == pytest.approx(reference.predict(x), abs=5e-4)


def test_a_checkpoint_keeps_the_trees_and_the_share(fitted, data) -> None:
    gate, path = fitted
    loaded = load_gate(path).gate
    x = data.features(data.split.validation)
    assert loaded.fitted is not None
    assert torch.equal(loaded.fitted.value, gate.fitted.value)
    assert 0 < loaded.share < 1
    network = loaded.objective.activation(loaded(x)).mean(0)
    blend = torch.lerp(network, loaded._fitted_score(x), loaded.share)
    assert torch.allclose(loaded.competence(x), temper(blend, loaded.temperature))


def test_the_share_is_the_one_that_validation_likes_best(fitted, data) -> None:
    gate = load_gate(fitted[1]).gate
    gate.temperature.fill_(1.0)  # it is chosen after the share
    x = data.features(data.split.validation)
    score = torch.from_numpy(data.outputs.score[data.split.validation])

    def loss(share: float) -> float:
        gate.share.fill_(share)
        return float(torch.nn.functional.binary_cross_entropy(gate.predict(x).clamp(1e-4, 1 - 1e-4), score))

    chosen = round(float(gate.share), 1)
    assert min((k / 10 for k in range(11)), key=loss) == chosen


def test_wrong_options_are_refused(data) -> None:
    def gate(**options) -> GatingModule:
        return GatingModule(data.spec, data.outputs.model_id, **options)

    with pytest.raises(UnknownNameError, match="did you mean 'trees'"):
        gate(fitted={"tree": 3})
    with pytest.raises(ConfigError, match=r"gate\.fitted\.trees is 0"):
        gate(fitted={"trees": 0})
    with pytest.raises(ConfigError, match="at most 1"):
        gate(fitted={"max_features": 2.0})
    with pytest.raises(ConfigError, match=r"gate\.fitted=null"):
        gate(fitted=SMALL, objective={"name": "mixture"})
