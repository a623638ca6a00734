"""The calibration error is what its formula says."""

import functools

import lightning as L
import numpy as np
import pytest
import torch
from tests.conftest import make_outputs

from moe2_pl.errors import DataError
from moe2_pl.gate import GatingModule, expected_calibration_error, temper
from moe2_pl.outputs import ExpertOutputsDataModule


def test_a_constant_prediction_errs_by_its_distance_from_the_mean():
    score = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert expected_calibration_error(torch.full((2, 2), 0.5), score) == pytest.approx(0.25)


def test_errors_of_different_intervals_do_not_cancel():
    q = torch.tensor([[0.1], [0.9]])
    assert expected_calibration_error(q, torch.tensor([[0.3], [0.7]])) == pytest.approx(0.2)


def test_draws_from_the_prediction_are_calibrated_and_ends_have_an_interval():
    q = torch.rand(20_000, 1, generator=torch.Generator().manual_seed(0))
    score = torch.bernoulli(q, generator=torch.Generator().manual_seed(1))
    assert expected_calibration_error(q, score) < 0.02
    assert expected_calibration_error(torch.tensor([[1.0], [0.0]]), torch.tensor([[1.0], [0.0]])) == 0.0


def test_shapes_that_disagree_are_refused():
    with pytest.raises(DataError, match="shape"):
        expected_calibration_error(torch.zeros(2, 1), torch.zeros(2, 2))


def test_a_temperature_changes_no_comparison_and_one_leaves_q_alone():
    q = torch.rand(100, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(temper(q, 1.5).argsort(1), q.argsort(1))
    assert torch.allclose(temper(q, 1.0), q, atol=1e-5)


@pytest.mark.parametrize("fitted", [None, {"trees": 16}])
def test_training_calibrates_on_validation_queries_and_keeps_the_routing(fitted):
    L.seed_everything(0, verbose=False)
    data = ExpertOutputsDataModule(make_outputs(1500), batch_size=64)
    gate = GatingModule(
        data.spec,
        data.outputs.model_id,
        {"name": "mlp", "hidden": 64, "members": 2},
        fitted=fitted,
        optimizer=functools.partial(torch.optim.AdamW, lr=0.01),
    )
    # Long enough to learn the training queries by heart, so that competence is overstated.
    trainer = L.Trainer(
        max_epochs=25, logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu",
        num_sanity_val_steps=0, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(gate, datamodule=data)
    rows = data.split.validation
    score = torch.from_numpy(data.outputs.score[rows])
    chosen = gate.predict(data.features(rows))
    temperature = float(gate.temperature)
    gate.temperature.fill_(1.0)
    before = gate.predict(data.features(rows))
    assert temperature != 1.0
    assert torch.equal(chosen.argmax(1), before.argmax(1))
    bce = torch.nn.functional.binary_cross_entropy
    assert bce(chosen, score) < bce(before, score)
    assert np.isclose(float(chosen.mean()), float(score.mean()), atol=0.1)
