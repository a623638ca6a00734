"""The mean of the nearest training queries beside the network, their number chosen by leaving each one out."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from moe2_pl.errors import ConfigError
from moe2_pl.gate._tables import Tables

__all__ = ["Neighbours"]

# Rows compared with the whole table at a time, so that [rows, n] stays small for any number of queries.
_ROWS = 1024
# Rows that are left out at most to choose k: their number, not the table's, bounds the time.
_LEFT_OUT = 4096


class Neighbours(Tables):
    """k nearest neighbours in Euclidean distance over standardised features.

    The answer to x is the mean of ``value`` over the k rows of ``at`` that are nearest to it. k is the power of two
    times ``least``, up to ``most``, with the least squared error on training rows that are left out one at a time.

    Args:
        least, most: bounds of k; equal ones fix it.
    """

    name = "neighbours"
    defaults: ClassVar = {"least": 5, "most": 320}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.options["most"] < self.options["least"]:
            raise ConfigError(
                f"gate.fitted.most is {self.options['most']}; need at least gate.fitted.least, "
                f"{self.options['least']}"
            )
        self.register_buffer("at", torch.zeros(0, 0))
        self.register_buffer("value", torch.zeros(0, 0, dtype=torch.float16))
        self.register_buffer("chosen", torch.tensor(1))
        self.at: Tensor
        self.value: Tensor
        self.chosen: Tensor
        # How many neighbours answer.
        self.k = 1

    def prepare(self) -> None:
        """Read k."""
        self.k = int(self.chosen)

    def grow(self, x: Tensor, target: Tensor, seed: int) -> None:
        """Keep the rows and choose k; see :meth:`Tables.grow`."""
        self.at, self.value = x.clone(), target.to(torch.float16)
        sizes = self._sizes(len(x) - 1)
        error = torch.zeros(len(sizes))
        rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed % 2**63))[:_LEFT_OUT]
        for part in torch.split(rows.to(x.device), _ROWS):
            # Nearest of all is the row itself, or one that is equal: either way it is not asked.
            distance = self._distance(x[part])
            distance[torch.arange(len(part)), part] = torch.inf
            near = self.value[distance.topk(sizes[-1], largest=False).indices].float()
            for i, k in enumerate(sizes):
                error[i] += (near[:, :k].mean(1) - target[part]).square().sum().cpu()
        self.chosen.fill_(sizes[int(error.argmin())])
        self.prepare()

    def _sizes(self, rows: int) -> list[int]:
        sizes = [self.options["least"]]
        while sizes[-1] * 2 <= self.options["most"]:
            sizes.append(sizes[-1] * 2)
        return sorted({max(1, min(k, rows)) for k in sizes})

    def extend(self, x: Tensor, target: Tensor) -> None:
        """A row that is kept answers with the mean target of the rows nearest to it, 0 where there are none."""
        near = torch.cat([self._distance(part).argmin(1) for part in torch.split(x, _ROWS)])
        total = torch.zeros(len(self.at), target.shape[1], device=x.device).index_add_(0, near, target)
        rows = torch.zeros(len(self.at), device=x.device).index_add_(
            0, near, torch.ones(len(x), device=x.device)
        )
        added = total / rows.clamp_min(1)[:, None]
        self.value = torch.cat([self.value, added.to(self.value.dtype)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, M] the mean answer of the neighbours of x [n, d]."""
        if torch.compiler.is_exporting():
            return self._answer(x)
        return torch.cat([self._answer(rows) for rows in torch.split(x, _ROWS)])

    def _answer(self, x: Tensor) -> Tensor:
        near = self._distance(x).topk(self.k, dim=1, largest=False).indices
        return self.value[near].float().mean(1)

    def _distance(self, x: Tensor) -> Tensor:
        """[b, n] squared distances, less |x|², which no comparison needs."""
        return self.at.square().sum(1) - 2 * x @ self.at.T
