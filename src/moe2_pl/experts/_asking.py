"""Requests of any kind to a backend, as metered plain records that a store can keep, and answers back from them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from time import perf_counter
from typing import Any

from moe2_pl.experts._backend import Answer, Backend, Generated, Scored, TooLong
from moe2_pl.experts._measuring._meter import Meter
from moe2_pl.questions import Choices, Prompt, Request

__all__ = ["Record", "answer_of", "ask"]

Record = dict[str, Any]


def ask(backend: Backend, requests: Mapping[str, Request], meter: Meter | None) -> dict[str, Record]:
    """Put requests of one or both kinds to an expert.

    Args:
        backend: of the expert.
        requests: key → request.
        meter: of the device at hand; None where nothing there meters energy.

    Returns:
        Key → record: what :func:`answer_of` reads, and the request's even share of what the call took: ``seconds``,
        and ``joules`` with ``meter`` where they were metered.
    """
    found: dict[str, Record] = {}
    choices = {key: request for key, request in requests.items() if isinstance(request, Choices)}
    prompts = {key: request for key, request in requests.items() if isinstance(request, Prompt)}
    for some, run in ((choices, backend.score), (prompts, backend.generate)):
        if some:
            found |= _metered(list(some), list(some.values()), run, meter)
    return found


def _metered(keys: Sequence[str], requests: Any, run: Any, meter: Meter | None) -> dict[str, Record]:
    started, joules = perf_counter(), math.nan
    if meter is None:
        answers: list[Answer] = run(requests)
    else:
        with meter.window() as window:
            answers = run(requests)
        joules = window.joules
    took: Record = {"seconds": (perf_counter() - started) / len(keys)}
    if meter is not None:
        took |= {"joules": joules / len(keys), "meter": meter.kind}
    return {key: {**_plain(answer), **took} for key, answer in zip(keys, answers, strict=True)}


def _plain(answer: Answer) -> Record:
    if isinstance(answer, TooLong):
        return {"too_long": answer.prompt_tokens, "context_tokens": answer.context_tokens}
    # Fields that the backend cannot tell are left out.
    record = {name: value for name, value in asdict(answer).items() if value is not None}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in record.items()}


def answer_of(record: Mapping[str, Any]) -> Answer:
    """The answer in a record of :func:`ask`."""
    if "too_long" in record:
        return TooLong(record["too_long"], record["context_tokens"])
    prefill_s = record.get("prefill_s")
    if "text" in record:
        return Generated(
            record["text"], record["tokens"], record["prompt_tokens"], prefill_s, record.get("decode_s")
        )
    return Scored(tuple(record["log_prob"]), tuple(record["tokens"]), record["prompt_tokens"], prefill_s)
