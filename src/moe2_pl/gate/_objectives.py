"""What the gate's logits mean and how they are scored: pure functions over logits [K, b, M]."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from moe2_pl.errors import ConfigError, UnknownNameError

__all__ = [
    "OBJECTIVES",
    "Objective",
    "brier_loss",
    "build_objective",
    "competence_loss",
    "expected_score_loss",
    "mixture_loss",
]


def competence_loss(logits: Tensor, score: Tensor) -> Tensor:
    """Binary cross-entropy on soft targets, mean over members, queries and models.

    With q = σ(logit)::

        −[score · log q + (1 − score) · log(1 − q)]

    A proper scoring rule for E[score given x] in [0, 1]; each model's term has its own optimum, whatever the
    subset.

    Args:
        logits: [K, b, M].
        score: [b, M] in [0, 1].

    Example:
        >>> round(competence_loss(torch.zeros(1, 1, 1), torch.ones(1, 1)).item(), 4)
        0.6931
    """
    return functional.binary_cross_entropy_with_logits(logits, score.expand_as(logits))


def brier_loss(logits: Tensor, score: Tensor) -> Tensor:
    """Squared error (σ(logit) − score)², mean over members, queries and models: also a proper scoring rule.

    Args:
        logits: [K, b, M].
        score: [b, M] in [0, 1].
    """
    return functional.mse_loss(torch.sigmoid(logits), score.expand_as(logits))


def mixture_loss(logits: Tensor, log_p: Tensor) -> Tensor:
    """Negative log-likelihood of the mixture, in nats, mean over members and queries (MoE², arXiv 2501.09410).

    With w = softmax(logits) over all models::

        −log Σ_j w_j(x) p_j(y given x)

    Args:
        logits: [K, b, M].
        log_p: [b, M] log-likelihood of what happened under each model.
    """
    return -torch.logsumexp(functional.log_softmax(logits, dim=-1) + log_p, dim=-1).mean()


def expected_score_loss(logits: Tensor, score: Tensor) -> Tensor:
    """Less the expected score of a router that draws its model from the weights, mean over members and queries.

    With w = softmax(logits) over all models::

        −Σ_j w_j(x) score_j

    Args:
        logits: [K, b, M].
        score: [b, M] in [0, 1].

    Example:
        >>> expected_score_loss(torch.zeros(1, 1, 2), torch.tensor([[1.0, 0.0]])).item()
        -0.5
    """
    return -(torch.softmax(logits, dim=-1) * score).sum(-1).mean()


@dataclass(frozen=True)
class Objective:
    """How logits become predictions, and their loss.

    Args:
        name: as in the configuration.
        loss: (logits [K, b, M], target [b, M]) → scalar.
        target: key of the batch that the loss is taken against.
        activation: logits [K, b, M] → per-member predictions [K, b, M].
        independent: each model's prediction stands alone; it then starts from the category's mean score.
    """

    name: str
    loss: Callable[[Tensor, Tensor], Tensor]
    target: str
    activation: Callable[[Tensor], Tensor]
    independent: bool


def _softmax(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=-1)


_COMPETENCE_LOSSES = {"bce": competence_loss, "brier": brier_loss}
_WEIGHT_LOSSES = {"mixture": (mixture_loss, "log_p"), "expected_score": (expected_score_loss, "score")}
OBJECTIVES = ("competence", *_WEIGHT_LOSSES)


def build_objective(name: str = "competence", loss: str = "bce") -> Objective:
    """The objective called ``name``; ``loss`` is the scoring rule of ``competence``, bce or brier.

    Raises:
        UnknownNameError: there is none of that name.
        ConfigError: a loss that is not a proper scoring rule.
    """
    if name == "competence":
        if loss not in _COMPETENCE_LOSSES:
            raise ConfigError(
                f"objective.loss is '{loss}'; competence needs a proper scoring rule: bce or brier"
            )
        return Objective(name, _COMPETENCE_LOSSES[loss], "score", torch.sigmoid, independent=True)
    if name in _WEIGHT_LOSSES:
        weight_loss, target = _WEIGHT_LOSSES[name]
        return Objective(name, weight_loss, target, _softmax, independent=False)
    raise UnknownNameError("objective", name, OBJECTIVES)
