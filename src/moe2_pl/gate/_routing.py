"""Which experts answer a query, given what the gate predicts of each and who is allowed: a pure function."""

from typing import NamedTuple

import torch
from torch import Tensor

from moe2_pl.errors import DataError

__all__ = ["Routing", "route"]


class Routing(NamedTuple):
    """Experts of each query, best first.

    Args:
        expert: [n, k] column numbers; −1 beyond the experts that are allowed.
        weight: [n, k] shares that sum to 1 over a query's experts; 0 beyond.
    """

    expert: Tensor
    weight: Tensor


def route(
    prediction: Tensor,
    allowed: Tensor,
    k: int = 1,
    energy_j: Tensor | None = None,
    penalty: Tensor | None = None,
) -> Routing:
    """The k allowed experts with the largest prediction − penalty.

    Ties go to fewer joules, then to the first column. Weights are the predictions of the chosen experts,
    divided by their sum.

    Args:
        prediction: [n, N] competence or weight of each expert, not negative.
        allowed: [N] or [n, N] bool.
        k: experts per query.
        energy_j: [N] or [n, N].
        penalty: [N] or [n, N], in the unit of ``prediction``.

    Raises:
        DataError: a query with nobody allowed, k < 1, or shapes that do not broadcast.

    Example:
        >>> q = torch.tensor([[0.9, 0.5, 0.5]])
        >>> route(q, torch.tensor([False, True, True]), energy_j=torch.tensor([1.0, 3.0, 2.0])).expert.tolist()
        [[2]]
    """
    n, experts = prediction.shape
    if not 1 <= k <= experts:
        raise DataError(f"k is {k}; need 1 to {experts}, the number of experts")
    for name, array in (("allowed", allowed), ("energy_j", energy_j), ("penalty", penalty)):
        if array is not None and array.shape not in ((experts,), (n, experts)):
            raise DataError(f"{name} has shape {list(array.shape)}; expected [{experts}] or [{n}, {experts}]")
    mask = allowed.bool().expand(n, experts)
    if not mask.any(dim=1).all():
        row = int((~mask.any(dim=1)).nonzero()[0])
        raise DataError(f"no expert is allowed for query {row}; allow at least one")
    rank = prediction if penalty is None else prediction - penalty
    rank = rank.masked_fill(~mask, -torch.inf)
    if energy_j is None:
        order = torch.sort(rank, dim=1, descending=True, stable=True).indices
    else:
        # Stable sorts from the least to the most important key: column order, joules, then rank.
        cheap = torch.sort(energy_j.expand(n, experts), dim=1, stable=True).indices
        order = cheap.gather(
            1, torch.sort(rank.gather(1, cheap), dim=1, descending=True, stable=True).indices
        )
    chosen = order[:, :k]
    there = mask.gather(1, chosen)
    weight = prediction.gather(1, chosen).clamp_min(torch.finfo(prediction.dtype).tiny) * there
    return Routing(chosen.masked_fill(~there, -1), weight / weight.sum(dim=1, keepdim=True))
