"""Networks of the gate: standardised features in, one logit per model out.

K members are trained side by side in one batched pass and averaged as probabilities, which costs little more
than one and routes better than one.
"""

import math
from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from moe2_pl.errors import ConfigError, UnknownNameError

__all__ = ["NETWORKS", "Linear", "Mlp", "TwoTower", "build_network"]


class _MemberLinear(nn.Module):
    """K linear layers at once: [K, b, i] → [K, b, o]."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class Linear(nn.Module):
    """One linear layer: [b, inputs] → [1, b, outputs] logits, zero at the start."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.head = _MemberLinear(1, inputs, outputs)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [1, b, outputs] of standardised features x [b, inputs]."""
        logits: Tensor = self.head(x.unsqueeze(0))
        return logits


class Mlp(nn.Module):
    """K perceptrons with one hidden layer each: [b, inputs] → [K, b, outputs] logits, near zero at the start.

    Args:
        inputs: width of the features.
        outputs: number of models M.
        hidden: width of the hidden layer.
        dropout: share of hidden units dropped while training.
        input_dropout: share of features dropped while training.
        members: K.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
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
        self.head = _MemberLinear(members, hidden, outputs)
        # A small head starts every member at the prior, so that early steps learn what the prior lacks.
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [K, b, outputs] of standardised features x [b, inputs]."""
        spread = self.input_dropout(x.expand(self.members, *x.shape))
        logits: Tensor = self.head(self.dropout(nn.functional.gelu(self.trunk(spread))))
        return logits


class TwoTower(nn.Module):
    """Queries and models as vectors in one space: logit = query · model + bias, [b, inputs] → [K, b, outputs].

    Like :class:`Mlp` up to its hidden layer, whose units are then mapped to ``width`` numbers a query; each model has
    a learned vector of that width, so that a pool of many models stays small.

    Args:
        inputs, outputs, hidden, dropout, input_dropout, members: as in :class:`Mlp`.
        width: of the shared space.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: int = 256,
        width: int = 64,
        dropout: float = 0.3,
        input_dropout: float = 0.1,
        members: int = 3,
    ) -> None:
        super().__init__()
        if width < 1:
            raise ConfigError(f"gate.network.width is {width}; need at least 1")
        self.query = Mlp(inputs, width, hidden, dropout, input_dropout, members)
        # The tower's own end is not near zero: the models' vectors are, so that training starts at the prior.
        nn.init.normal_(self.query.head.weight, std=hidden**-0.5)
        self.model = _MemberLinear(members, width, outputs)
        nn.init.normal_(self.model.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [K, b, outputs] of standardised features x [b, inputs]."""
        logits: Tensor = self.model(self.query(x))
        return logits


NETWORKS: dict[str, Callable[..., nn.Module]] = {"linear": Linear, "mlp": Mlp, "two_tower": TwoTower}


def build_network(inputs: int, outputs: int, name: str = "mlp", **options: Any) -> nn.Module:
    """The network called ``name``.

    Raises:
        UnknownNameError: there is none of that name, or it has no such option.
        ConfigError: an option of the wrong type.
    """
    if name not in NETWORKS:
        raise UnknownNameError("gate network", name, NETWORKS)
    known = {
        k: p.annotation
        for k, p in signature(NETWORKS[name]).parameters.items()
        if k not in ("inputs", "outputs")
    }
    for key, value in options.items():
        if key not in known:
            raise UnknownNameError(f"option of gate network '{name}'", key, known)
        if not isinstance(value, (int, float) if known[key] is float else known[key]) or isinstance(
            value, bool
        ):
            raise ConfigError(f"gate.network.{key} is {value!r}; it must be of type {known[key].__name__}")
    return NETWORKS[name](inputs, outputs, **options)
