"""Networks of the gate: standardised features in, one logit per model out.

A network is a trunk that all models share and heads of their own: models that join a trained gate later bring their
heads, and nothing that was there before is touched. K members are trained side by side in one batched pass and
averaged as probabilities, which costs little more than one and routes better than one.
"""

import math
from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from moe2_pl.errors import ConfigError, UnknownNameError

__all__ = ["NETWORKS", "Linear", "Mlp", "Prior", "TwoTower", "build_network"]


# Deviation of a head's weights at the start.
_SMALL = 0.01


class _MemberLinear(nn.Module):
    """K linear layers at once: [K, b, i] → [K, b, o]."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(max(inputs, 1))
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class _Heads(nn.Module):
    """The linear heads of all models, those that joined together in one layer: [K, b, i] → [K, b, M]."""

    def __init__(self, members: int, inputs: int, groups: Sequence[int], std: float) -> None:
        super().__init__()
        self.groups = nn.ModuleList(_MemberLinear(members, inputs, models) for models in groups)
        for group in self.groups:
            nn.init.normal_(group.weight, std=std)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([group(x) for group in self.groups], dim=-1)


class Prior(nn.Module):
    """A bias for each model and nothing of the query: the category's log-odds alone, [b, inputs] → [1, b, M] logits.

    Args:
        inputs: width of the features.
        groups: numbers of models that joined together; they sum to M.
    """

    def __init__(self, inputs: int, groups: Sequence[int]) -> None:
        super().__init__()
        self.head = _Heads(1, 0, groups, std=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [1, b, M], the same for every row of x [b, inputs]."""
        logits: Tensor = self.head(x[None, :, :0])
        return logits


class Linear(nn.Module):
    """One linear layer: [b, inputs] → [1, b, M] logits, zero at the start.

    Args:
        inputs: width of the features.
        groups: numbers of models that joined together; they sum to M.
    """

    def __init__(self, inputs: int, groups: Sequence[int]) -> None:
        super().__init__()
        self.head = _Heads(1, inputs, groups, std=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [1, b, M] of standardised features x [b, inputs]."""
        logits: Tensor = self.head(x.unsqueeze(0))
        return logits


class Mlp(nn.Module):
    """K perceptrons with one hidden layer each: [b, inputs] → [K, b, M] logits, near zero at the start.

    Args:
        inputs: width of the features.
        groups: numbers of models that joined together; they sum to M.
        hidden: width of the hidden layer.
        dropout: share of hidden units dropped while training.
        input_dropout: share of features dropped while training.
        members: K.
    """

    def __init__(
        self,
        inputs: int,
        groups: Sequence[int],
        hidden: int = 256,
        dropout: float = 0.3,
        input_dropout: float = 0.1,
        members: int = 3,
    ) -> None:
        super().__init__()
        if hidden < 1 or members < 1:
            raise ConfigError(
                f"gate.network: hidden is {hidden} and members {members}; both must be at least 1"
            )
        self.members = members
        self.input_dropout = nn.Dropout(input_dropout)
        self.trunk = _MemberLinear(members, inputs, hidden)
        self.dropout = nn.Dropout(dropout)
        # A small head starts every member at the prior, so that early steps learn what the prior lacks.
        self.head = _Heads(members, hidden, groups, std=_SMALL)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [K, b, M] of standardised features x [b, inputs]."""
        spread = self.input_dropout(x.expand(self.members, *x.shape))
        logits: Tensor = self.head(self.dropout(nn.functional.gelu(self.trunk(spread))))
        return logits


class TwoTower(nn.Module):
    """Queries and models as vectors in one space: logit = query · model + bias, [b, inputs] → [K, b, M].

    Like :class:`Mlp` up to its hidden layer, whose units are then mapped to ``width`` numbers a query; each model has
    a learned vector of that width, so that a pool of many models stays small.

    Args:
        inputs, groups, hidden, dropout, input_dropout, members: as in :class:`Mlp`.
        width: of the shared space.
    """

    def __init__(
        self,
        inputs: int,
        groups: Sequence[int],
        hidden: int = 256,
        width: int = 64,
        dropout: float = 0.3,
        input_dropout: float = 0.1,
        members: int = 3,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ConfigError(f"gate.network.width is {width}; need at least 1")
        self.trunk = Mlp(inputs, (width,), hidden, dropout, input_dropout, members)
        # The tower's own end is not near zero: the models' vectors are, so that training starts at the prior.
        for group in self.trunk.head.groups:
            nn.init.normal_(group.weight, std=hidden**-0.5)  # type: ignore[arg-type]
        self.head = _Heads(members, width, groups, std=_SMALL)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [K, b, M] of standardised features x [b, inputs]."""
        logits: Tensor = self.head(self.trunk(x))
        return logits


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "prior": Prior,
    "linear": Linear,
    "mlp": Mlp,
    "two_tower": TwoTower,
}


def build_network(inputs: int, groups: Sequence[int], name: str = "mlp", **options: Any) -> nn.Module:
    """The network called ``name``.

    Args:
        inputs: width of the features.
        groups: numbers of models that joined together; they sum to M.
        name: one of ``NETWORKS``.
        options: of that network.

    Raises:
        UnknownNameError: there is none of that name, or it has no such option.
        ConfigError: an option of the wrong type.
    """
    if name not in NETWORKS:
        raise UnknownNameError("gate network", name, NETWORKS)
    known = {
        k: p.annotation
        for k, p in signature(NETWORKS[name]).parameters.items()
        if k not in ("inputs", "groups")
    }
    for key, value in options.items():
        if key not in known:
            raise UnknownNameError(f"option of gate network '{name}'", key, known)
        if not isinstance(value, (int, float) if known[key] is float else known[key]) or isinstance(
            value, bool
        ):
            raise ConfigError(f"gate.network.{key} is {value!r}; it must be of type {known[key].__name__}")
    return NETWORKS[name](inputs, groups, **options)
