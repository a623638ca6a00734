"""An expert whose answers were written down elsewhere: a file stands in for the model."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from json import dumps, loads
from typing import Any

from moe2_pl.errors import DataError
from moe2_pl.experts._backend import Backend, Generated, Scored, TooLong
from moe2_pl.questions import Choices, Prompt, read_rows

__all__ = ["RecordedBackend"]


class RecordedBackend(Backend):
    """Answers from a file of JSON lines, CSV or Parquet.

    A row has ``prompt``, the text exactly as a model would get it, template filled in, and either ``answer``, what
    was written, or ``log_prob``, the log-likelihoods of the options (a list; in CSV as JSON). It may have ``tokens``,
    of the answer or of each option, and ``prompt_tokens``; where it has not, they are 0, and costs are those of no
    tokens.

    Args:
        path: the file.

    Raises:
        ConfigError, DataError: as :func:`moe2_pl.questions.read_rows`.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @cached_property
    def _rows(self) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for where, row in read_rows(self.path):
            if "prompt" not in row or not {"answer", "log_prob"} & set(row):
                raise DataError(
                    f"{where}: has {', '.join(row)}; a prompt and its answer or log_prob are needed"
                )
            if found.setdefault(row["prompt"], row) != row:
                raise DataError(f"{where}: the prompt {row['prompt'][:40]!r} has another answer before")
        return found

    @property
    def identity(self) -> Mapping[str, Any]:
        """The hash of all rows."""
        rows = dumps([dict(row) for row in self._rows.values()], sort_keys=True, default=str)
        return {"kind": "recorded", "rows": sha256(rows.encode()).hexdigest()}

    def score(self, requests: Sequence[Choices]) -> list[Scored | TooLong]:
        """The recorded log-likelihoods.

        Raises:
            DataError: a context that the file lacks, or another number of log-likelihoods than options.
        """
        return [self._scored(request) for request in requests]

    def _scored(self, request: Choices) -> Scored:
        row, count = self._row(request.context, "log_prob"), len(request.options)
        log_prob, tokens = (_listed(row.get(key)) for key in ("log_prob", "tokens"))
        if len(log_prob) != count:
            raise DataError(
                f"{self.path}: {len(log_prob)} log-likelihoods for {count} options of {request.context[:40]!r}"
            )
        return Scored(
            tuple(float(value) for value in log_prob),
            tuple(int(value) for value in tokens) or (0,) * count,
            int(row.get("prompt_tokens") or 0),
        )

    def generate(self, requests: Sequence[Prompt]) -> list[Generated | TooLong]:
        """The recorded texts.

        Raises:
            DataError: a prompt that the file lacks.
        """
        rows = [self._row(request.text, "answer") for request in requests]
        return [
            Generated(str(row["answer"]), int(row.get("tokens") or 0), int(row.get("prompt_tokens") or 0))
            for row in rows
        ]

    def _row(self, prompt: str, key: str) -> Mapping[str, Any]:
        row = self._rows.get(prompt)
        if row is None or row.get(key) is None:
            raise DataError(
                f"{self.path}: holds no {key} of the prompt {prompt[:60]!r}, or of one that differs by a sign"
            )
        return row


def _listed(value: Any) -> list[Any]:
    """A list, or one written as JSON."""
    found = loads(value) if isinstance(value, str) and value else value
    return list(found or ())
