"""Whether predicted competence means what it says, and one temperature that makes it.

One temperature for all models, not one for each: it changes no comparison between models, so routing stays as
it was, while calibrating every model by itself was measured to route worse.
"""

import torch
from torch import Tensor

from moe2_pl.errors import DataError

__all__ = ["TEMPERATURES", "expected_calibration_error", "temper"]

# Factors of the log-odds that validation chooses from.
TEMPERATURES = tuple(1.04**k for k in range(-18, 19))


def temper(q: Tensor, temperature: Tensor | float) -> Tensor:
    """q with its log-odds multiplied (temperature scaling; Guo, Pleiss, Sun & Weinberger 2017, its inverse).

    Args:
        q: of any shape, in [0, 1].
        temperature: 1 leaves q as it is, more makes it bolder.

    Example:
        >>> round(float(temper(torch.tensor(0.8), 2.0)), 4)
        0.9412
    """
    return torch.sigmoid(torch.logit(q, eps=1e-6) * temperature)


def expected_calibration_error(q: Tensor, score: Tensor, bins: int = 15) -> float:
    """Mean distance between predicted and realised score (ECE; Naeini, Cooper & Hauskrecht 2015).

    With all pairs of query and model sorted into ``bins`` equal intervals of q::

        Σ_b |b| / (n · M) · |mean q in b − mean score in b|

    Args:
        q: [n, M] in [0, 1].
        score: [n, M] in [0, 1]; it may be a fraction, which libraries' binary ECE refuses.
        bins: number of intervals.

    Raises:
        DataError: shapes that disagree.

    Example:
        >>> expected_calibration_error(torch.full((4, 1), 0.75), torch.tensor([[1.0], [1.0], [0.0], [1.0]]))
        0.0
    """
    if q.shape != score.shape:
        raise DataError(f"q has shape {list(q.shape)}, score {list(score.shape)}; they must agree")
    of = (q.flatten() * bins).long().clamp(0, bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, of, (q - score).flatten().double())
    return float(gap.abs().sum() / q.numel())
