"""The one interface that every way of running a frozen expert has, and what it answers with."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from moe2_pl.questions import Choices, Prompt

__all__ = ["Answer", "Backend", "Generated", "Scored", "TooLong"]


@dataclass(frozen=True)
class Scored:
    """Log-likelihoods of a request's options.

    Args:
        log_prob: K sums over the option's tokens of log p(token given all before), natural logarithm.
        tokens: K numbers of tokens.
        prompt_tokens: tokens of the context.
        prefill_s: the request's share of the seconds that its batch took; None where the backend cannot tell.
    """

    log_prob: tuple[float, ...]
    tokens: tuple[int, ...]
    prompt_tokens: int
    prefill_s: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Generated:
    """A written answer.

    Args:
        text: without the prompt and without the stop text.
        tokens: written ones, the one that ended the answer included.
        prompt_tokens: tokens of the prompt.
        prefill_s, decode_s: the answer's share of the seconds that its batch took to read and to write; None where
            the backend cannot tell.
    """

    text: str
    tokens: int
    prompt_tokens: int
    prefill_s: float | None = field(default=None, compare=False)
    decode_s: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class TooLong:
    """A request that does not fit the expert's context; it was not run, and nothing was cut.

    Args:
        prompt_tokens: tokens that the request would have needed.
        context_tokens: tokens that the expert can hold.
    """

    prompt_tokens: int
    context_tokens: int


Answer = Scored | Generated | TooLong


class Backend(ABC):
    """A frozen expert that can be asked. Making one is cheap; the model is loaded by the first call.

    ``score`` and ``generate`` take a list and answer in its order; how they batch is theirs.
    """

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Plain values that the answers depend on: hash of the weights, adapter, precision, decoding.

        Never the batch size or the device. Known without loading the model.
        """

    @abstractmethod
    def score(self, requests: Sequence[Choices]) -> list[Scored | TooLong]:
        """Log-likelihoods of the options of each request."""

    @abstractmethod
    def generate(self, requests: Sequence[Prompt]) -> list[Generated | TooLong]:
        """A greedily written answer to each request."""

    def close(self) -> None:  # noqa: B027 (most have nothing to give back)
        """Give back the memory; the next call loads again."""
