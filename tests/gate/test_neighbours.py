"""Nearest neighbours beside the network: the means that scikit-learn finds, their number chosen by leaving one out."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor

from moe2_pl.errors import ConfigError
from moe2_pl.gate._neighbours import Neighbours

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6)).astype(np.float32)
Y = np.stack([X[:, 0] > 0, X[:, 0] + X[:, 1] > 0], axis=1).astype(np.float32)
Y = np.where(RNG.random(Y.shape) < 0.2, 1 - Y, Y)


def grown(**options: int) -> Neighbours:
    neighbours = Neighbours(**options)
    neighbours.grow(torch.from_numpy(X), torch.from_numpy(Y), seed=0)
    return neighbours


def test_answers_are_scikit_learns() -> None:
    query = RNG.normal(size=(50, 6)).astype(np.float32)
    expected = KNeighborsRegressor(7).fit(X, Y).predict(query)
    assert grown(least=7, most=7)(torch.from_numpy(query)).numpy() == pytest.approx(expected, abs=1e-3)


def test_their_number_is_the_best_of_those_left_out() -> None:
    sizes = [2, 4, 8, 16, 32, 64, 128]
    errors = {
        k: ((cross_val_predict(KNeighborsRegressor(k), X, Y, cv=LeaveOneOut()) - Y) ** 2).mean()
        for k in sizes
    }
    assert grown(least=2, most=128).k == min(errors, key=errors.__getitem__)


def test_few_rows_bound_their_number() -> None:
    few = Neighbours(least=5, most=320)
    few.grow(torch.from_numpy(X[:4]), torch.from_numpy(Y[:4]), seed=0)
    assert few.k == 3


def test_a_new_output_is_answered_as_if_it_had_been_there() -> None:
    neighbours, both = grown(least=8, most=8), grown(least=8, most=8)
    neighbours.value = neighbours.value[:, :1]
    neighbours.extend(torch.from_numpy(X), torch.from_numpy(Y[:, 1:]))
    assert torch.equal(neighbours.value, both.value)


def test_bounds_that_hold_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"gate\.fitted\.most is 10; need at least"):
        Neighbours(least=20, most=10)
