"""Texts to tokens, as the lm-evaluation-harness (0.4) does it for its ``hf`` models.

A context and its continuation are encoded together and cut where the context's own encoding ends; white space at the
end of the context belongs to the continuation; the tokenizer decides whether a begin-of-text token comes first.
"""

from collections.abc import Sequence
from typing import Any

from moe2_pl.errors import ConfigError, DataError
from moe2_pl.questions import Choices

__all__ = ["TextEncoder", "split_at_context"]

Tokens = list[int]


class TextEncoder:
    """Encodes requests for one model.

    Args:
        tokenizer: of transformers.
        name: of the model, for messages.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.tokenizer = tokenizer
        self._name = name
        begin = tokenizer.bos_token_id
        self._prefix: int | None = tokenizer.eos_token_id if begin is None else begin

    def choices(self, requests: Sequence[Choices]) -> list[tuple[Tokens, list[Tokens]]]:
        """Of each request, tokens of the context and of every option.

        Raises:
            ConfigError: a chat template or a begin-of-text token is needed, and the model has none.
            DataError: an option that adds no token to its context.
        """
        contexts = [self.prompt(request.context, request.chat) for request in requests]
        texts: list[str] = []
        for context, request in zip(contexts, requests, strict=True):
            kept, moved = split_at_context(context)
            texts += [kept, *(kept + moved + option for option in request.options)]
        tokens = iter(self.encode(texts))
        found = []
        for context, request in zip(contexts, requests, strict=True):
            start, *wholes = [next(tokens) for _ in range(1 + len(request.options))]
            if context.strip():
                pair = start, [whole[len(start) :] for whole in wholes]
            else:
                pair = self._without_context([context + option for option in request.options])
            for option, its in zip(request.options, pair[1], strict=True):
                if not its:
                    raise DataError(
                        f"option {option!r} adds no token to its context …{context[-30:]!r} for model '{self._name}'"
                    )
            found.append(pair)
        return found

    def prompt(self, text: str, chat: bool) -> str:
        """The text, or the user's turn that holds it with the beginning of the answer's turn."""
        if not chat:
            return text
        if not self.tokenizer.chat_template:
            raise ConfigError(
                f"model '{self._name}' has no chat template, so it cannot be asked with chat: true; ask it without"
            )
        return str(
            self.tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
            )
        )

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokens of each text, with the tokens that the tokenizer puts around it unless the text brings them."""
        beginning = None if self._prefix is None else self.tokenizer.decode([self._prefix])
        brings = [beginning is not None and text.startswith(beginning) for text in texts]
        found: list[Tokens] = [[] for _ in texts]
        for own in (False, True):
            rows = [row for row, its in enumerate(brings) if its is own]
            for row, tokens in zip(rows, self._plain([texts[row] for row in rows], not own), strict=True):
                found[row] = tokens
        return found

    @property
    def prefix(self) -> int:
        """The token that stands for an empty context.

        Raises:
            ConfigError: the model has none.
        """
        if self._prefix is None:
            raise ConfigError(
                f"model '{self._name}' has no begin-of-text token, which an empty context needs"
            )
        return self._prefix

    def _without_context(self, texts: list[str]) -> tuple[Tokens, list[Tokens]]:
        options = self._plain(texts, special=False)
        return [self.prefix], [option[1:] if option[:1] == [self.prefix] else option for option in options]

    def _plain(self, texts: list[str], special: bool) -> list[Tokens]:
        if not texts:
            return []
        encoded = self.tokenizer(texts, add_special_tokens=special, verbose=False)
        return [list(tokens) for tokens in encoded["input_ids"]]


def split_at_context(context: str) -> tuple[str, str]:
    """The context without the white space at its end, and that white space.

    Example:
        >>> split_at_context("Answer: ")
        ('Answer:', ' ')
    """
    kept = context.rstrip()
    return kept, context[len(kept) :]
