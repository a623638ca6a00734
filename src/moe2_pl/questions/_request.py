"""What is put to an expert: a context with options to weigh, or a prompt to continue.

Requests hold the final texts, templates filled in, so that their hash names everything an answer depends on besides
the expert itself.
"""

from dataclasses import asdict, dataclass
from hashlib import sha256
from json import dumps

from moe2_pl.errors import DataError

__all__ = ["Choices", "Prompt", "Request"]


@dataclass(frozen=True)
class Choices:
    """A context and the continuations whose log-likelihoods are asked for.

    Args:
        context: what comes before; may be empty, then the model's begin-of-text token stands for it.
        options: K ≥ 1 continuations as they follow the context, leading spaces included.
        chat: whether the context is the user's turn of the model's chat template.

    Raises:
        DataError: no options, or an empty one.
    """

    context: str
    options: tuple[str, ...]
    chat: bool = False

    def __post_init__(self) -> None:
        if not self.options or not all(self.options):
            raise DataError(
                f"options are {list(self.options)!r}; a choice needs at least one, and none may be empty"
            )

    @property
    def key(self) -> str:
        """SHA-256 of everything in the request."""
        return _key("choices", self)

    @property
    def characters(self) -> int:
        """Length of all texts, for batches of similar length."""
        return len(self.context) + sum(map(len, self.options))


@dataclass(frozen=True)
class Prompt:
    """A text to continue, greedily.

    Args:
        text: the prompt.
        max_tokens: most tokens of an answer.
        stop: texts that end an answer and do not belong to it.
        chat: whether the text is the user's turn of the model's chat template.

    Raises:
        DataError: ``max_tokens`` below 1.
    """

    text: str
    max_tokens: int = 64
    stop: tuple[str, ...] = ()
    chat: bool = False

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise DataError(f"max_tokens is {self.max_tokens}; need at least 1")

    @property
    def key(self) -> str:
        """SHA-256 of everything in the request."""
        return _key("prompt", self)

    @property
    def characters(self) -> int:
        """Length of the text, for batches of similar length."""
        return len(self.text)


Request = Choices | Prompt


def _key(kind: str, request: Request) -> str:
    return sha256(dumps([kind, asdict(request)], sort_keys=True).encode()).hexdigest()
