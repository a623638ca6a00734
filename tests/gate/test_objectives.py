"""Each loss is what its formula says, and competence losses are proper."""

import math

import pytest
import torch

from moe2_pl.errors import MoE2Error
from moe2_pl.gate import brier_loss, build_objective, competence_loss, expected_score_loss, mixture_loss


@pytest.mark.parametrize("loss", [competence_loss, brier_loss])
@pytest.mark.parametrize("mean", [0.1, 0.37, 0.9])
def test_competence_losses_are_least_at_the_expected_score(loss, mean):
    outcomes = torch.tensor([[1.0], [0.0]])
    chance = torch.tensor([mean, 1 - mean])
    grid = torch.linspace(0.02, 0.98, 97)
    expected = [
        sum(
            p * loss(torch.logit(q).reshape(1, 1, 1), o.reshape(1, 1))
            for p, o in zip(chance, outcomes, strict=True)
        )
        for q in grid
    ]
    assert grid[int(torch.stack(expected).argmin())].item() == pytest.approx(mean, abs=0.006)


def test_the_mixture_loss_is_the_negative_log_of_the_weighted_likelihood():
    logits = torch.log(torch.tensor([[[0.25, 0.75]]]))
    log_p = torch.log(torch.tensor([[0.8, 0.4]]))
    assert mixture_loss(logits, log_p).item() == pytest.approx(-math.log(0.25 * 0.8 + 0.75 * 0.4), abs=1e-6)


def test_the_expected_score_is_that_of_drawing_a_model_from_the_weights():
    logits = torch.log(torch.tensor([[[0.25, 0.75]], [[0.5, 0.5]]]))
    score = torch.tensor([[1.0, 0.4]])
    assert expected_score_loss(logits, score).item() == pytest.approx(-(0.55 + 0.7) / 2)


def test_names_that_stand_for_nothing_are_refused():
    with pytest.raises(MoE2Error, match="did you mean 'mixture'"):
        build_objective("mixtur")
    with pytest.raises(MoE2Error, match="proper scoring rule: bce or brier"):
        build_objective("competence", loss="l1")
