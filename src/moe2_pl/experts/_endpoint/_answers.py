"""Reading what OpenAI-compatible servers answer: log-probs of an echoed prompt, and refusals of one that is too long.

Pure functions. Servers differ in what they echo, so that nothing is taken on trust: log-probs are used only where
they demonstrably belong to the tokens of the prompt.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from moe2_pl.experts._backend import TooLong

__all__ = ["Token", "UnusableError", "echoed_tokens", "in_option", "speaks_of_log_probs", "too_long"]

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class UnusableError(Exception):
    """Log-probs that are missing or do not belong to the prompt; the message says how, as part of a sentence."""


class Token(NamedTuple):
    """A token of an echoed prompt.

    Args:
        text: as the server gives it: without the bytes of a character that it shares with other tokens.
        log_prob: natural logarithm; None for a first token, which follows nothing.
        start: where it begins in the prompt, in characters, by what the server says; None where it says nothing.
    """

    text: str
    log_prob: float | None
    start: int | None = None


def echoed_tokens(choice: Mapping[str, Any], prompt: str, written: int) -> list[Token]:
    """The tokens of an echoed prompt with their log-probs.

    Both forms are read: ``tokens`` beside ``token_logprobs`` and ``text_offset``, and the newer ``content``, a list
    of tokens with their bytes. Positions are counted from the prompt's end, since offsets count begin-of-text tokens
    that the prompt does not have.

    Args:
        choice: of a completion asked for with ``echo`` and ``logprobs``.
        prompt: what was sent.
        written: tokens after the prompt, by the server's own count.

    Returns:
        Without the written ones.

    Raises:
        UnusableError: there are no log-probs, or the prompt is not echoed.
    """
    payload = choice.get("logprobs")
    if not isinstance(payload, Mapping):
        raise UnusableError("its answers have no log-probs")
    if isinstance(payload.get("content"), Sequence):
        found = _newer(payload["content"], prompt, written)
    else:
        found = _older(payload, prompt, written)
    # A server that ignores echo gives the log-probs of what it wrote, and of nothing else.
    if not found or not str(choice.get("text", "")).startswith(prompt):
        raise UnusableError("it does not echo the prompt")
    return found


def _older(payload: Mapping[str, Any], prompt: str, written: int) -> list[Token]:
    texts, values, offsets = (payload.get(key) for key in ("tokens", "token_logprobs", "text_offset"))
    if not isinstance(texts, Sequence) or not isinstance(values, Sequence) or len(texts) != len(values):
        raise UnusableError("its answers have no log-probs")
    n = len(texts) - written
    starts: Sequence[int | None] = [None] * len(texts)
    if isinstance(offsets, Sequence) and len(offsets) == len(texts) and n > 0:
        end = offsets[n] if written else offsets[-1] + len(texts[-1])
        starts = [len(prompt) - end + offset for offset in offsets]
    return [Token(str(text), value, start) for text, value, start in zip(texts, values, starts, strict=True)][
        : max(n, 0)
    ]


def _newer(content: Sequence[Mapping[str, Any]], prompt: str, written: int) -> list[Token]:
    kept = content[: max(len(content) - written, 0)]
    whole, at = prompt.encode(), len(prompt.encode())
    found = []
    for token in reversed(kept):
        raw = token.get("bytes")
        if raw is None:
            found.append(Token(str(token.get("token", "")), token.get("logprob")))
            continue
        at -= len(raw)
        start = len(whole[: max(at, 0)].decode(errors="ignore"))
        found.append(Token(bytes(raw).decode(errors="ignore"), token.get("logprob"), start))
    return found[::-1]


def in_option(tokens: Sequence[Token], prompt: str, border: int) -> tuple[float, int]:
    """Log-likelihood of what follows the border.

    A token that begins before the border and ends after it counts as the option's.

    Args:
        tokens: of the whole prompt, as :func:`echoed_tokens` returns them.
        prompt: context and option.
        border: where the option begins, in characters.

    Returns:
        Sum of the log-probs, natural logarithm, and their number.

    Raises:
        UnusableError: tokens that are not the prompt's, or one of the option without a log-prob.

    Example:
        >>> words = [("Two", None), (" and", -1.0), (" two", -0.5), (" is", -2.0), (" four", -0.25)]
        >>> in_option([Token(*word) for word in words], "Two and two is four", len("Two and two is"))
        (-0.25, 1)
    """
    count = _counted_by_start(tokens, prompt, border)
    if count is None:
        count = _counted_by_text(tokens, prompt, border)
    values = [token.log_prob for token in tokens[len(tokens) - count :]]
    known = [float(value) for value in values if value is not None and not math.isnan(value)]
    if len(known) < len(values) or not values:
        raise UnusableError("tokens of the prompt have no log-prob")
    return math.fsum(known), count


def _counted_by_start(tokens: Sequence[Token], prompt: str, border: int) -> int | None:
    """Tokens after the border, by where they begin; None unless their texts stand there."""
    end = len(prompt)
    for count, token in enumerate(reversed(tokens)):
        start, text = token.start, token.text
        if start is None or not 0 <= start <= end or _REPLACEMENT in text:
            return None
        # The text of a token that begins within a character begins after that.
        if not prompt.startswith(text, start) and not prompt.startswith(text, start + 1):
            return None
        # A token without width at the border is the beginning of a character there, or one that has no text.
        within = start == end == border < len(prompt) and not prompt[border].isascii()
        if end <= border and not within:
            return count
        end = start
    return len(tokens) if end <= border else None


def _counted_by_text(tokens: Sequence[Token], prompt: str, border: int) -> int:
    """Tokens after the border, laid along the prompt from its end by their texts."""
    at, unseen = len(prompt), False
    for count, token in enumerate(reversed(tokens)):
        if at <= border:
            return count
        text = token.text.replace(_REPLACEMENT, "")
        if not text:
            unseen = True
            continue
        ends = _ends_of(text, prompt, at)
        end = next(ends, None)
        if end is None:
            raise UnusableError(
                f"its log-probs are not the prompt's: {text!r} is not before {prompt[at : at + 20]!r}"
            )
        if unseen and (end < border < at or next(ends, None) is not None):
            raise UnusableError("characters near an option's beginning are spread over several tokens")
        if end <= border:
            return count
        at, unseen = end - len(text), False
    if at > border:
        raise UnusableError("its log-probs do not cover the prompt")
    return len(tokens)


def _ends_of(text: str, prompt: str, at: int) -> Iterator[int]:
    """Where a token may end that lies before position ``at`` of the prompt, with what may lie between passed over."""
    for end in range(at, 0, -1):
        if prompt.endswith(text, 0, end) or (end < len(text) and prompt[:end] == text.lstrip()):
            yield end
        # A character that is spread over several tokens has no text. Some tokenizers give a token without the space
        # before it; then the space lies before the next token back.
        if prompt[end - 1].isascii() and not prompt[end - 1].isspace():
            return


_LIMIT = re.compile(
    r"(?:context length (?:is|of) (?:only )?|context (?:size|length) \(|must be <= |\"n_ctx\": ?)(\d+)"
)
_NEEDED = re.compile(r"(?:requested (?:a total of )?|request \(|resulted in )(\d+) tokens", re.IGNORECASE)
_PROMPT = re.compile(
    r"(?:input \(|\"n_prompt_tokens\": ?)(\d+)|(\d+) (?:`inputs`|input) tokens", re.IGNORECASE
)
_SAYS_SO = re.compile(r"context_length_exceeded|exceed_context_size", re.IGNORECASE)


def too_long(refusal: str, max_tokens: int) -> TooLong | None:
    """What a server's refusal says of a request that exceeds its context; None where it is about something else.

    Figures that the refusal does not name are 0. The wordings are those of vLLM, llama.cpp, llama-cpp-python,
    SGLang, text-generation-inference and OpenAI.

    Args:
        refusal: the body.
        max_tokens: asked for; what is needed beside the prompt.

    Example:
        >>> too_long("request (9412 tokens) exceeds the available context size (8192 tokens)", 1)
        TooLong(prompt_tokens=9412, context_tokens=8192)
        >>> too_long("The model `gpt` does not exist", 1)
    """
    limit, needed, prompt = (pattern.search(refusal) for pattern in (_LIMIT, _NEEDED, _PROMPT))
    if not _SAYS_SO.search(refusal) and (limit is None or (needed or prompt) is None):
        return None
    asked = 0
    if needed is not None:
        asked = int(needed[1])
    elif prompt is not None:
        asked = int(prompt[1] or prompt[2]) + max_tokens
    return TooLong(asked, int(limit[1]) if limit else 0)


def speaks_of_log_probs(refusal: str) -> bool:
    """Whether a server refuses because of the log-probs that it was asked for.

    Example:
        >>> speaks_of_log_probs("Only no echo is supported")
        True
    """
    return re.search(r"\becho\b|logprobs|logits_all", refusal) is not None
