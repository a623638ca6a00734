"""A backend that answers at once, from a hash: for tests of what happens around models, never of models."""

import os
import time
from hashlib import sha256
from pathlib import Path

from moe2_pl.errors import ConfigError
from moe2_pl.experts import Backend, Generated, Scored, TooLong
from moe2_pl.questions import Choices, Prompt

NAME = f"{__name__}:StandIn"


class StandIn(Backend):
    """Weighs every option by a hash of model, context and option; writes the hash.

    Args:
        model: name that answers depend on.
        log: file to which every question is appended, one line each.
        adapter: part of the identity that does not stand for weights.
        fail_at: number of the call that fails; counted by the lines of ``log`` that say so.
        die_once: file; the process that finds none makes it and dies.
        context: texts longer than this are too long.
        wait_s: seconds of a call.
    """

    def __init__(
        self,
        model: str = "hash",
        log: str = "",
        adapter: str = "",
        fail_at: int = 0,
        die_once: str = "",
        context: int = 10_000,
        wait_s: float = 0.0,
    ) -> None:
        self.model, self.log, self.adapter, self.fail_at = model, log, adapter, fail_at
        self.die_once, self.context, self.wait_s = die_once, context, wait_s
        self.calls = 0

    @property
    def identity(self) -> dict:
        return {"kind": "stand-in", "model": self.model, "adapter": self.adapter, "context": self.context}

    def score(self, requests: list[Choices]) -> list[Scored | TooLong]:
        self._called([request.context for request in requests])
        return [self._scored(request) for request in requests]

    def generate(self, requests: list[Prompt]) -> list[Generated | TooLong]:
        self._called([request.text for request in requests])
        return [Generated(self._hash(request.text)[:4], 4, len(request.text)) for request in requests]

    def close(self) -> None:
        self._append("closed " + self.model + self.adapter)

    def _scored(self, request: Choices) -> Scored | TooLong:
        if len(request.context) > self.context:
            return TooLong(len(request.context), self.context)
        log_prob = tuple(
            -int(self._hash(request.context + option)[:4], 16) / 1e4 for option in request.options
        )
        return Scored(log_prob, tuple(len(option) for option in request.options), len(request.context))

    def _hash(self, text: str) -> str:
        return sha256(f"{self.model}{self.adapter}{text}".encode()).hexdigest()

    def _called(self, texts: list[str]) -> None:
        self.calls += 1
        time.sleep(self.wait_s)
        if self.die_once and not Path(self.die_once).exists():
            Path(self.die_once).touch()
            os._exit(1)
        if self.calls == self.fail_at:
            raise ConfigError("the stand-in fails, as it was told")
        for text in texts:
            self._append(f"{self.model}{self.adapter} {text!r}")

    def _append(self, line: str) -> None:
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(line + "\n")
