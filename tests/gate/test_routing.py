"""Routing picks the best allowed expert, breaks ties as documented, and refuses an empty subset."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moe2_pl.errors import DataError
from moe2_pl.gate import route


@given(seed=st.integers(0, 1000), n=st.integers(1, 20), experts=st.integers(1, 8), k=st.integers(1, 8))
def test_nobody_outside_the_mask_is_chosen_and_weights_sum_to_one(seed, n, experts, k):
    generator = torch.Generator().manual_seed(seed)
    q = torch.rand(n, experts, generator=generator)
    allowed = torch.rand(n, experts, generator=generator) < 0.5
    allowed[torch.arange(n), torch.randint(experts, (n,), generator=generator)] = True
    k = min(k, experts)
    routing = route(q, allowed, k)
    there = routing.expert >= 0
    assert there.sum(1).tolist() == allowed.sum(1).clamp(max=k).tolist()
    assert allowed.gather(1, routing.expert.clamp(min=0))[there].all()
    torch.testing.assert_close(routing.weight.sum(1), torch.ones(n))
    best = q.masked_fill(~allowed, -1).max(1).values
    torch.testing.assert_close(q.gather(1, routing.expert[:, :1])[:, 0], best)


def test_ties_go_to_fewer_joules_and_then_to_the_first_name():
    q = torch.full((1, 4), 0.5)
    everyone = torch.ones(4, dtype=torch.bool)
    assert route(q, everyone).expert.tolist() == [[0]]
    assert route(q, everyone, k=4, energy_j=torch.tensor([3.0, 1.0, 2.0, 1.0])).expert.tolist() == [
        [1, 3, 2, 0]
    ]


def test_a_penalty_is_taken_off_before_ranking_but_not_from_the_weights():
    routing = route(
        torch.tensor([[0.6, 0.5]]), torch.tensor([True, True]), k=2, penalty=torch.tensor([0.2, 0.0])
    )
    assert routing.expert.tolist() == [[1, 0]]
    torch.testing.assert_close(routing.weight, torch.tensor([[5 / 11, 6 / 11]]))


def test_an_empty_subset_is_refused_with_the_query():
    allowed = torch.tensor([[True, False], [False, False]])
    with pytest.raises(DataError, match="query 1"):
        route(torch.rand(2, 2), allowed)


@pytest.mark.parametrize(("k", "shape"), [(0, (2,)), (3, (2,)), (1, (3,)), (1, (5, 2))])
def test_shapes_and_k_that_do_not_fit_are_refused(k, shape):
    with pytest.raises(DataError):
        route(torch.rand(4, 2), torch.ones(shape, dtype=torch.bool), k)
