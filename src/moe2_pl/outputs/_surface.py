"""Surface features of a prompt: lengths, digits, code and option marks.

They cost microseconds, need no model, and tell task formats apart that an embedding of the meaning blurs.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["SURFACE_NAMES", "surface_features"]

# Marks that are counted, each as log(1 + occurrences).
_MARKS = {
    "digits": r"\d",
    "numbers": r"\d[\d,.]*",
    "operators": r"[=+*/<>^]",
    "latex": r"\\[a-zA-Z]+|\$[^$]+\$",
    "boxed": r"\\boxed",
    "currency": r"[$€£]\s?\d",
    "code": r"\bdef \w+\(|\breturn\b|\bimport\b|```|>>>|\bassert\b",
    "function_request": r"(?i)\b(write|implement|create) (a|an|the)?\s*(\w+ )?(python )?(function|program|code)\b",
    "options": r"(?m)^\s*[\(\[]?[A-J][\)\].:]\s",
    "blanks": r"_{2,}|\.\.\.",
    "questions": r"\?",
    "commas": r",",
    "newlines": r"\n",
    "quotes": r"[\"“”'‘’]",
    "capitals": r"\b[A-Z][a-z]+",
    "non_ascii": r"[^\x00-\x7f]",
    "step_hint": r"(?i)step by step|careful thought|final answer",
}
# Marks that are there or not.
_FLAGS = {
    "ends_with_question_mark": r"\?\s*$",
    "ends_with_full_stop": r"\.\s*$",
    "starts_with_capital": r"^\s*[A-Z]",
    "starts_with_question_word": r"(?i)^\s*(who|what|when|where|which|why|how)\b",
    "asks_how_many": r"(?i)\bhow (many|much|long|far|old)\b",
    "asks_which_of": r"(?i)\bwhich (one )?of the following\b|\bwhich statement\b",
    "asks_who_when_where": r"(?i)\b(who|when|where)\b",
}
_COUNTERS = [re.compile(p) for p in _MARKS.values()]
_TESTS = [re.compile(p) for p in _FLAGS.values()]

SURFACE_NAMES: tuple[str, ...] = (
    "log_characters",
    "log_words",
    "mean_word_length",
    "longest_word",
    "type_token_ratio",
    *(f"log_{name}" for name in _MARKS),
    *_FLAGS,
)


def surface_features(prompts: Sequence[str]) -> NDArray[np.float32]:
    """Surface features of each prompt.

    Args:
        prompts: n texts.

    Returns:
        [n, f] float32, columns as in ``SURFACE_NAMES``.

    Example:
        >>> row = surface_features(["How many are 2 + 2?"])[0]
        >>> dict(zip(SURFACE_NAMES, row.tolist()))["asks_how_many"]
        1.0
    """
    return np.array([_features(text) for text in prompts], dtype=np.float32).reshape(-1, len(SURFACE_NAMES))


def _features(text: str) -> list[float]:
    words = text.split()
    lengths = [len(w) for w in words] or [0]
    return [
        float(np.log1p(len(text))),
        float(np.log1p(len(words))),
        float(np.mean(lengths)),
        float(np.log1p(max(lengths))),
        len(set(words)) / max(len(words), 1),
        *(float(np.log1p(len(pattern.findall(text)))) for pattern in _COUNTERS),
        *(float(pattern.search(text) is not None) for pattern in _TESTS),
    ]
