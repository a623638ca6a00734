"""How a question is put to an expert, and what its answer is worth."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import ConfigError, DataError, UnknownNameError
from moe2_pl.questions._question import Question
from moe2_pl.questions._request import Choices, Prompt, Request
from moe2_pl.questions._scorers import Scorer, scorer_named

__all__ = ["LETTERS", "Task"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TEMPLATES = {
    "cloze": "Question: {text}\nAnswer:",
    "letter": "Question: {text}\n{options}\nAnswer:",
    "generate": "Question: {text}\nAnswer:",
}
_NORMALISERS = ("none", "tokens", "characters")


@dataclass(frozen=True)
class Task:
    """How questions are asked and scored.

    An option's weight is its log-likelihood after the context, divided by its ``tokens`` or ``characters`` where
    ``normalise`` says so; without is the harness's ``acc``, by characters its ``acc_norm``. The chosen option is the
    heaviest, the first of equals.

    Args:
        name: what :attr:`Question.task` says.
        format: ``cloze`` weighs the options as continuations of the context; ``letter`` lists them there as lines
            ``A. …`` and weighs the letters; ``generate`` has the answer written.
        template: the context, with ``{text}`` and, for letters, ``{options}`` put in; other braces stay as they
            are. Empty for ``Question: {text}``, the options' lines, ``Answer:``.
        normalise: ``none``, ``tokens`` or ``characters``.
        scorer: of a written answer: ``exact_match``, ``f1``, ``package.module:function``, or a function (text,
            question) → [0, 1].
        max_tokens: most tokens of a written answer.
        stop: texts that end a written answer.
        chat: whether the context is the user's turn of the expert's chat template.
        delimiter: what joins the context with an option.

    Raises:
        UnknownNameError: an unknown format, normaliser or scorer.
        ConfigError: a template without ``{text}``, or whose ``{options}`` do not fit the format.

    Example:
        >>> task = Task("quiz", "letter")
        >>> asked = Question("Which is a fruit?", "assistant", "quiz", options=("plum", "desk"), label=0)
        >>> task.request(asked)
        Choices(context='Question: Which is a fruit?\\nA. plum\\nB. desk\\nAnswer:', options=(' A', ' B'), chat=False)
        >>> task.score_options(asked, log_prob=(-1.0, -2.5))
        1.0
        >>> task.option_log_prob(asked, log_prob=(-1.0, -2.5)).round(3).tolist()
        [-0.201, -1.701]
    """

    name: str
    format: str = "cloze"
    template: str = ""
    normalise: str = "none"
    scorer: str | Scorer = "exact_match"
    max_tokens: int = 64
    stop: tuple[str, ...] = ()
    chat: bool = False
    delimiter: str = " "

    def __post_init__(self) -> None:
        if self.format not in _TEMPLATES:
            raise UnknownNameError(f"format of task '{self.name}'", self.format, _TEMPLATES)
        if self.normalise not in _NORMALISERS:
            raise UnknownNameError(f"normalise of task '{self.name}'", self.normalise, _NORMALISERS)
        if not self.template:
            object.__setattr__(self, "template", _TEMPLATES[self.format])
        object.__setattr__(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))
        if "{text}" not in self.template:
            raise ConfigError(f"template of task '{self.name}' is {self.template!r}; it lacks {{text}}")
        if ("{options}" in self.template) != (self.format == "letter"):
            need = "needs" if self.format == "letter" else "has no place for"
            raise ConfigError(
                f"template of task '{self.name}' is {self.template!r}; format '{self.format}' {need} {{options}}"
            )
        if self.max_tokens < 1:
            raise ConfigError(f"max_tokens of task '{self.name}' is {self.max_tokens}; need at least 1")
        if isinstance(self.scorer, str):
            scorer_named(self.scorer)

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any]) -> "Task":
        """A task as a YAML file holds it.

        Raises:
            UnknownNameError: a key that no task has.
            ConfigError: no ``name``, or values that a task refuses.
        """
        known = [f.name for f in fields(cls)]
        for key in config:
            if key not in known:
                raise UnknownNameError(f"key of task '{config.get('name', '')}'", key, known)
        if not config.get("name"):
            raise ConfigError(f"task {dict(config)} has no name; its questions refer to it")
        return cls(**config)

    def request(self, question: Question) -> Request:
        """What is put to the expert.

        Raises:
            DataError: a question that the format cannot ask.
        """
        if self.format == "generate":
            if not question.answers:
                raise DataError(
                    f"task '{self.name}' has answers written, and question '{question.id}' ({question.text[:60]!r}) "
                    "has none to compare with"
                )
            return Prompt(self._context(question), self.max_tokens, self.stop, self.chat)
        if not question.options:
            raise DataError(
                f"task '{self.name}' weighs options, and question '{question.id}' ({question.text[:60]!r}) has none"
            )
        weighed: Sequence[str] = question.options
        if self.format == "letter":
            if len(question.options) > len(LETTERS):
                raise DataError(
                    f"question '{question.id}' has {len(question.options)} options; letters name {len(LETTERS)}"
                )
            weighed = LETTERS[: len(question.options)]
        options = tuple(self.delimiter + option for option in weighed)
        return Choices(self._context(question), options, self.chat)

    def option_log_prob(
        self, question: Question, log_prob: Sequence[float] | None, tokens: Sequence[int] | None = None
    ) -> NDArray[np.float64]:
        """Log-softmax of the options' weights; uniform where the question was too long to be run.

        Args:
            question: one with K options.
            log_prob: K log-likelihoods, natural logarithm; None where there are none.
            tokens: K numbers of tokens; needed where the task normalises by them.

        Returns:
            [K] log-probabilities.

        Raises:
            DataError: lengths that disagree, NaN, or no option with a finite log-likelihood.
        """
        if log_prob is None:
            return np.full(len(question.options), -np.log(len(question.options)))
        weights = self._weights(question, log_prob, tokens)
        shifted: NDArray[np.float64] = weights - weights.max()
        return np.asarray(shifted - np.log(np.exp(shifted).sum()))

    def score_options(
        self, question: Question, log_prob: Sequence[float] | None, tokens: Sequence[int] | None = None
    ) -> float:
        """1 where the heaviest option, the first of equals, is the right one; 0 where it was not run.

        Arguments and errors are those of :meth:`option_log_prob`.
        """
        if log_prob is None:
            return 0.0
        return float(int(np.argmax(self._weights(question, log_prob, tokens))) == question.label)

    def score_text(self, question: Question, text: str | None) -> float:
        """What a written answer is worth by the task's scorer; 0 where the question was not run.

        Raises:
            DataError: a scorer that returns anything outside [0, 1].
        """
        if text is None:
            return 0.0
        scorer = scorer_named(self.scorer) if isinstance(self.scorer, str) else self.scorer
        value = scorer(text, question)
        if not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
            name = self.scorer if isinstance(self.scorer, str) else getattr(scorer, "__name__", repr(scorer))
            raise DataError(
                f"scorer '{name}' of task '{self.name}' gave {value!r} for question '{question.id}'; "
                f"expected a number in [0, 1]"
            )
        return float(value)

    def _context(self, question: Question) -> str:
        lines = "\n".join(
            f"{letter}. {option}" for letter, option in zip(LETTERS, question.options, strict=False)
        )
        parts = {"{text}": question.text, "{options}": lines}
        # One pass, so that braces inside a question are never taken for the template's.
        asked = re.sub(r"\{text\}|\{options\}", lambda found: parts[found[0]], self.template)
        return question.preface + asked

    def _weights(
        self, question: Question, log_prob: Sequence[float], tokens: Sequence[int] | None
    ) -> NDArray[np.float64]:
        weights = np.asarray(log_prob, dtype=np.float64)
        K = len(question.options)
        if weights.shape != (K,):
            raise DataError(
                f"question '{question.id}' has {K} options, and log_prob the shape {list(weights.shape)}"
            )
        if np.isnan(weights).any() or not np.isfinite(weights).any():
            raise DataError(
                f"log-likelihoods of question '{question.id}' are {weights.tolist()}; none may be NaN, "
                f"and one must be finite"
            )
        if self.normalise == "characters":
            length = [1] * K if self.format == "letter" else [len(option) for option in question.options]
            return np.asarray(weights / np.asarray(length))
        if self.normalise == "tokens":
            if tokens is None or len(tokens) != K or min(tokens) < 1:
                raise DataError(
                    f"task '{self.name}' normalises by tokens; tokens of question '{question.id}' are "
                    f"{tokens}; expected {K} counts"
                )
            return np.asarray(weights / np.asarray(tokens))
        return weights
