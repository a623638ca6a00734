"""An expert behind an OpenAI-compatible server: vLLM, llama.cpp, llama-cpp-python, Ollama, ``transformers serve``."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from moe2_pl.errors import ConfigError
from moe2_pl.experts._backend import Backend, Generated, Scored, TooLong
from moe2_pl.experts._endpoint._answers import UnusableError, echoed_tokens, in_option, too_long
from moe2_pl.experts._endpoint._calls import Calls, Known, Patience, RefusedError
from moe2_pl.experts._endpoint._server import (
    CHAT,
    COMPLETIONS,
    address,
    completion,
    explained,
    meet,
    without_log_probs,
)
from moe2_pl.questions import Choices, Prompt

__all__ = ["EndpointBackend"]

T = TypeVar("T")
R = TypeVar("R", Choices, Prompt)

# Sent instead of a key where none is named: the client would take OPENAI_API_KEY, which is not for every server.
_NO_KEY = "no-api-key"
# No model ends its text here, so that a token is written and its log-prob must be there too.
_PROBE = "one, two, three, four, five, six, seven,"
_BEFORE_PROBED = len("one")


class EndpointBackend(Backend):
    """A model behind ``/v1/completions`` and ``/v1/chat/completions``, asked greedily (temperature 0, seed 0).

    Log-likelihoods need a server that echoes the prompt with its log-probs; several ignore ``echo`` without a word,
    which would score at chance. So each answer is checked, and before the first a short text is sent whose log-probs
    must belong to its tokens. A token that begins in the context and ends in the option counts as the option's, and
    so does white space that ends the context, as in lm-evaluation-harness.

    Requests that meet 429, 5xx, a timeout, a cut connection or a body that is no JSON are put again; a pause that the
    server asks for (``Retry-After``) is kept by all of them. Answers that servers cut silently cannot be told: Ollama
    shortens a prompt to its ``num_ctx``. Penalties that a server applies by default change what is written: see
    ``extra_body``.

    Args:
        base_url: of the API, as a rule ``http://host:port/v1``.
        model: its name there.
        api_key_env: name of the environment variable that holds the key; the key itself is kept nowhere.
        concurrency: most requests under way at once.
        timeout_s: longest silence of the server within a request; with a slow server allow for those in its queue.
        retries: how often a request is put again.
        patience_s: how long a server that has answered before is waited for beyond that, while it is down or busy.
        backoff_s: longest wait before the first repetition; it doubles up to 16 times this.
        revision: what names the model's weights, instead of the URL: answers are then kept when the server moves.
        begin: text of the begin-of-text token, put before every prompt that is no chat, where the server puts none.
        extra_body: more fields of each request, such as ``{"repetition_penalty": 1.0}``.
        check_model: whether the model must be in the server's list of models, if it has one.

    Raises:
        ConfigError: a URL that is none, or an argument out of range.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key_env: str | None = None,
        concurrency: int = 8,
        timeout_s: float = 60.0,
        retries: int = 6,
        patience_s: float = 300.0,
        backoff_s: float = 0.5,
        revision: str = "",
        begin: str = "",
        extra_body: Mapping[str, Any] | None = None,
        check_model: bool = True,
    ) -> None:
        for name, value, least in (
            ("concurrency", concurrency, 1),
            ("timeout_s", timeout_s, 1e-3),
            ("retries", retries, 0),
            ("patience_s", patience_s, 0),
            ("backoff_s", backoff_s, 0),
        ):
            if value < least:
                raise ConfigError(f"{name} is {value}; need at least {least}")
        self.url = address(base_url)
        self.model = model
        self.api_key_env = api_key_env
        self.concurrency = concurrency
        self.patience = Patience(timeout_s, retries, patience_s, backoff_s)
        self.revision = revision
        self.begin = begin
        self.extra_body = dict(extra_body or {})
        self.check_model = check_model
        self._known = Known()

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, and the revision where one is given, else the URL: the same name elsewhere may be another model."""
        found: dict[str, Any] = {"kind": "endpoint", "model": self.model}
        found |= {"revision": self.revision} if self.revision else {"url": self.url}
        if self.begin:
            found["begin"] = self.begin
        if self.extra_body:
            found["extra_body"] = self.extra_body
        return found

    def score(self, requests: Sequence[Choices]) -> list[Scored | TooLong]:
        """Log-likelihoods of the options, one request to the server for each option.

        Raises:
            ConfigError: the endpoint offers no log-probs of a prompt, a chat template is asked for, or as
                :meth:`generate`.
            EndpointError: as :meth:`generate`.
        """
        if any(request.chat for request in requests):
            raise ConfigError(
                f"{self.url}: log-likelihoods after a chat template cannot be asked of an endpoint, whose chats have "
                "no log-probs of the prompt; use chat: false, or a task with written answers"
            )
        return self._run(self._score, requests, self._prove)

    def generate(self, requests: Sequence[Prompt]) -> list[Generated | TooLong]:
        """A greedily written answer to each request; its tokens are those that the server counts.

        Raises:
            ConfigError: the server lacks the model or the path, or refuses the key or what it was sent.
            EndpointError: it gives no usable answer within the retries and the patience.
        """
        return self._run(self._generate, requests)

    def _run(
        self,
        ask: Callable[[Calls, R], Coroutine[Any, Any, T]],
        requests: Sequence[R],
        first: Callable[[Calls], Awaitable[None]] | None = None,
    ) -> list[T]:
        """Ask all at once, as far as the concurrency goes, once the server is known to be the right one."""
        if not requests:
            return []
        try:
            from anyio.from_thread import start_blocking_portal
            from openai import AsyncOpenAI
        except ImportError as error:
            raise ConfigError(
                f"asking an endpoint needs the openai client: pip install 'moe2-pl[experts]' ({error})"
            ) from error
        key = self._key()

        async def all_of_them() -> list[T]:
            timeout_s = self.patience.timeout_s
            async with AsyncOpenAI(
                api_key=key, base_url=self.url, timeout=timeout_s, max_retries=0
            ) as client:
                calls = Calls(client, self.patience, self.concurrency, self._known)
                await self._meet(calls)
                if first is not None:
                    await first(calls)
                return await _gathered([ask(calls, request) for request in requests])

        # An event loop of its own in a thread of its own: it works inside another loop (a notebook's) too, and an
        # interrupt of the caller cancels what is under way.
        with start_blocking_portal() as portal:
            return portal.call(all_of_them)

    def _key(self) -> str:
        if self.api_key_env is None:
            return _NO_KEY
        key = os.environ.get(self.api_key_env, "")
        if not key:
            raise ConfigError(
                f"the environment variable {self.api_key_env}, which api_key_env names, is not set; it should "
                f"hold the API key of {self.url}"
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            # The client would say so with the key.
            raise ConfigError(
                f"the environment variable {self.api_key_env} holds a blank, a line's end or another character that no "
                "API key has; it should hold the key alone"
            )
        return key

    async def _meet(self, calls: Calls) -> None:
        if not self._known.met:
            try:
                await meet(calls, self.model, self.check_model)
            except RefusedError as refused:
                raise await explained(calls, refused, "/models", self.api_key_env) from refused
            self._known.met = True

    async def _generate(self, calls: Calls, request: Prompt) -> Generated | TooLong:
        body: dict[str, Any] = {"max_tokens": request.max_tokens}
        if request.stop:
            body["stop"] = list(request.stop)
        if request.chat:
            body["messages"] = [{"role": "user", "content": request.text}]
        else:
            body["prompt"] = self.begin + request.text
        found = await self._complete(calls, CHAT if request.chat else COMPLETIONS, body)
        if isinstance(found, TooLong):
            return found
        choice, usage = found
        message = choice.get("message")
        text = message.get("content") if isinstance(message, Mapping) else choice.get("text")
        # A model that only thought gives no text, and some servers give the stop text too.
        text = text or ""
        ends = [at for stop in request.stop if (at := text.find(stop)) >= 0]
        text = text[: min(ends, default=len(text))]
        return Generated(text, usage["completion_tokens"], usage["prompt_tokens"])

    async def _score(self, calls: Calls, request: Choices) -> Scored | TooLong:
        context = self.begin + request.context
        border = len(context.rstrip())
        found = await _gathered(
            [self._log_prob(calls, context + option, border) for option in request.options]
        )
        too_long = [option for option in found if isinstance(option, TooLong)]
        if too_long:
            return max(too_long, key=lambda option: option.prompt_tokens)
        log_prob, tokens, before = zip(
            *(option for option in found if isinstance(option, tuple)), strict=True
        )
        return Scored(log_prob, tokens, before[0])

    async def _log_prob(self, calls: Calls, prompt: str, border: int) -> tuple[float, int, int] | TooLong:
        """Log-likelihood and number of tokens of what follows the border, and the tokens before."""
        found = await self._echo(calls, prompt)
        if isinstance(found, TooLong):
            return found
        choice, usage = found
        try:
            tokens = echoed_tokens(choice, prompt, usage["completion_tokens"])
            log_prob, count = in_option(tokens, prompt, border)
        except UnusableError as error:
            if not prompt[len(self.begin) : border].strip():
                raise ConfigError(
                    f"{self.url} gives no log-prob of the first token of a text; options need a context before them"
                ) from error
            raise without_log_probs(calls, str(error)) from error
        return log_prob, count, usage["prompt_tokens"] - count

    async def _prove(self, calls: Calls) -> None:
        """Learn once whether the server's log-probs belong to the tokens that they are said to belong to."""
        if self._known.echoes:
            return
        prompt, border = self.begin + _PROBE, len(self.begin) + _BEFORE_PROBED
        found = await self._echo(calls, prompt)
        if isinstance(found, TooLong):
            raise without_log_probs(calls, f"its context holds only {found.context_tokens} tokens")
        choice, usage = found
        try:
            in_option(echoed_tokens(choice, prompt, max(1, usage["completion_tokens"])), prompt, border)
        except UnusableError as error:
            raise without_log_probs(calls, _shifted(choice, prompt, border) or str(error)) from error
        self._known.echoes = True

    async def _echo(self, calls: Calls, prompt: str) -> tuple[Mapping[str, Any], Mapping[str, int]] | TooLong:
        # With max_tokens 0, some versions of vLLM refuse, and llama-cpp-python writes until its context is full.
        body = {"prompt": prompt, "max_tokens": 1, "echo": True, "logprobs": 1}
        return await self._complete(calls, COMPLETIONS, body)

    async def _complete(
        self, calls: Calls, path: str, body: dict[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, int]] | TooLong:
        whole = {"model": self.model, **body, "temperature": 0, "seed": 0, **self.extra_body}
        try:
            return await completion(calls, path, whole)
        except RefusedError as refused:
            found = too_long(refused.body, body["max_tokens"])
            if found is not None:
                return found
            raise await explained(calls, refused, path, self.api_key_env) from refused


def _shifted(choice: Mapping[str, Any], prompt: str, border: int) -> str:
    """What to say of log-probs that fit the prompt only without the written token, which has none."""
    try:
        in_option(echoed_tokens(choice, prompt, 0), prompt, border)
    except UnusableError:
        return ""
    return (
        "they are those of the next token, as llama-cpp-python gives them for a model that begins without a "
        "begin-of-text token (set begin to the text of that token)"
    )


async def _gathered(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in order; the first error stops the others, so that nothing more is asked."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
