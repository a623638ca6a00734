"""The calibration error is what its formula says."""

import pytest
import torch

from moe2_pl.errors import DataError
from moe2_pl.gate import expected_calibration_error


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
