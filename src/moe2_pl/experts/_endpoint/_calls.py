"""Requests to a server that may fail: put again where that helps, no more often than it must be, and given up clearly.

The ``openai`` client retries too, but gives up at a ``Retry-After`` above two minutes, lets every request find out by
itself that the server wants a pause, passes on a body that is no JSON, and cannot wait for a server that is down.
Its own retries are therefore switched off.
"""

import asyncio
import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from socket import EAI_NONAME, gaierror
from time import monotonic, time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from moe2_pl.errors import EndpointError
from moe2_pl.experts._endpoint._answers import speaks_of_log_probs, too_long

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["Calls", "Known", "Patience", "RefusedError", "retry_after_s"]

log = logging.getLogger(__name__)

# Too many requests, a gateway's failures, not up yet: the server may come back, so it is waited for.
_ABSENT = {429, 502, 503, 504}
# Beside these every 5xx, except those that say that there is no such thing.
_PASSING = {408, 425}
_MISSING = {501, 505}
_LONGEST_BACKOFF = 16
_QUIET_S = 30.0


@dataclass(frozen=True)
class Patience:
    """When a request is put again, and when it is given up.

    Args:
        timeout_s: longest silence of the server within a request.
        retries: how often a request is put again.
        patience_s: how long a server that has answered before is waited for beyond that, while it is down or busy;
            also the longest ``Retry-After`` that is waited for.
        backoff_s: longest wait before the first repetition; it doubles from one to the next, up to 16 times this.
    """

    timeout_s: float
    retries: int
    patience_s: float
    backoff_s: float


@dataclass
class Known:
    """What has been learnt of a server.

    Args:
        answered: it has answered anything at all.
        met: it has the model.
        echoes: it gives the log-probs of a prompt.
    """

    answered: bool = False
    met: bool = False
    echoes: bool = False


class RefusedError(Exception):
    """A status that will not go away.

    Args:
        status: of HTTP.
        body: of the answer.
    """

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP {status}: {_message(body)}" if body.strip() else f"HTTP {status}")
        self.status, self.body = status, body


@dataclass(frozen=True)
class _Fault:
    """What went wrong.

    Args:
        what: in words.
        absent: whether a server that is down or busy explains it.
        wait_s: the pause that the server asked for.
        hopeless: whether it will not pass, unless it worked before.
    """

    what: str
    absent: bool = False
    wait_s: float | None = None
    hopeless: bool = False


class Calls:
    """Requests to one server, some of them at once.

    Args:
        client: whose own retries are switched off.
        patience: with a server that fails.
        concurrency: most requests under way at once.
        known: what is known of the server; updated.
    """

    def __init__(self, client: "AsyncOpenAI", patience: Patience, concurrency: int, known: Known) -> None:
        self.client, self.patience, self.known = client, patience, known
        self.url = str(client.base_url).rstrip("/")
        self._slots = asyncio.Semaphore(concurrency)
        self._resume_at = self._quiet_until = 0.0

    async def ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object that the server answers with.

        Args:
            path: after the base URL, or a whole URL.
            body: to post; None to get.

        Raises:
            RefusedError: a status that will not go away.
            EndpointError: no usable answer within the patience.
        """
        tries, first = 0, monotonic()
        async with self._slots:
            while True:
                await asyncio.sleep(max(0.0, self._resume_at - monotonic()))
                tries += 1
                found = await self._try(path, body)
                if not isinstance(found, _Fault):
                    return found
                if tries == 1:
                    first = monotonic()
                wait_s = self._wait_s(path, found, tries, first)
                self._tell(path, found, wait_s)
                if found.wait_s is not None:  # the others need not be told to pause one by one
                    self._resume_at = max(self._resume_at, monotonic() + wait_s)
                else:
                    await asyncio.sleep(wait_s)

    def _tell(self, path: str, fault: _Fault, wait_s: float) -> None:
        """Say that the server is waited for, once for all requests that wait."""
        if monotonic() >= self._quiet_until:
            self._quiet_until = monotonic() + _QUIET_S
            log.warning("%s%s: %s; trying again in %.1f s", self.url, path, fault.what, wait_s)

    async def _try(self, path: str, body: Mapping[str, Any] | None) -> "dict[str, Any] | _Fault":
        import openai

        refused: tuple[int, str, str | None] | None = None
        try:
            if body is None:
                answer = await self.client.get(path, cast_to=object)
            else:
                answer = await self.client.post(path, body=dict(body), cast_to=object)
            # The client returns text where the server does not call it JSON.
            answer = json.loads(answer) if isinstance(answer, str) else answer
        except openai.APIStatusError as error:
            self.known.answered = True
            retry_after = error.response.headers.get("retry-after")
            refused = error.status_code, self.told(error.response.text), retry_after
        except openai.APITimeoutError:
            return _Fault(f"no answer within timeout_s={self.patience.timeout_s:g}")
        except openai.APIConnectionError as error:
            return _connection_fault(error, self.told)
        except ValueError:
            self.known.answered = True
            return _Fault("an answer that is no JSON")
        if refused is not None:
            # Not inside the except: a traceback would show the client's own error, which holds the whole body.
            return _status_fault(*refused, body is None)
        self.known.answered = True
        return answer if isinstance(answer, dict) else _Fault("an answer that is no JSON object")

    def told(self, said: object) -> str:
        """What a server has said, for messages and logs: without the API key, however it is escaped.

        To be called before anything is cut off, or a part of the key could stay.
        """
        try:
            said = json.loads(said) if isinstance(said, str) else said
        except (ValueError, RecursionError):
            return str(_without(str(said), self.client.api_key))
        clean = _without(said, self.client.api_key)
        return clean if isinstance(clean, str) else json.dumps(clean, ensure_ascii=False, default=str)

    def _wait_s(self, path: str, fault: _Fault, tries: int, first: float) -> float:
        """Seconds until the next try.

        Raises:
            EndpointError: that was the last one.
        """
        patience = self.patience
        wait_s = fault.wait_s
        if wait_s is None:
            longest = patience.backoff_s * float(min(2 ** (tries - 1), _LONGEST_BACKOFF))
            wait_s = longest * random.uniform(0.5, 1)
        waited = monotonic() - first
        outlast = fault.absent and self.known.answered and waited + wait_s <= patience.patience_s
        again = tries <= patience.retries and (fault.wait_s or 0.0) <= patience.patience_s
        if outlast or (again and not fault.hopeless):
            return wait_s
        pause = "" if fault.wait_s is None else f", which asks for a pause of {fault.wait_s:g} s"
        how = f"tried {tries} times in {waited:.0f} s" if tries > 1 else "tried once"
        raise EndpointError(
            f"{self.url}{path}: {fault.what}{pause}; {how} (retries={patience.retries}, "
            f"patience_s={patience.patience_s:g})"
        )


def _without(said: Any, key: str) -> Any:
    """Text, or JSON, with every form of the key replaced."""
    if isinstance(said, str):
        escaped = json.dumps(key)[1:-1]
        for form in sorted(
            {key, escaped, escaped.replace("/", r"\/"), repr(key)[1:-1], quote(key), quote(key, "")},
            key=len,
            reverse=True,
        ):
            said = said.replace(form, "…")
        return said
    if isinstance(said, Mapping):
        return {_without(str(name), key): _without(value, key) for name, value in said.items()}
    if isinstance(said, list):
        return [_without(value, key) for value in said]
    return said


def _status_fault(status: int, body: str, retry_after: str | None, of_list: bool) -> _Fault:
    passing = status in _PASSING or status in _ABSENT or (status >= 500 and status not in _MISSING)
    # A list of models that fails is no reason to wait: questions may be answered all the same.
    if not passing or _final(status, body) or (of_list and status == 500):
        raise RefusedError(status, body)
    return _Fault(str(RefusedError(status, body)), status in _ABSENT, retry_after_s(retry_after))


def _final(status: int, body: str) -> bool:
    """Whether a status that passes as a rule is explained by something that does not.

    llama.cpp and llama-cpp-python answer 500 to what they cannot do.
    """
    if status == 429:
        return "insufficient_quota" in body
    return status == 500 and (too_long(body, 0) is not None or speaks_of_log_probs(body))


def _connection_fault(error: BaseException, told: Callable[[str], str]) -> _Fault:
    last, cause = error, error.__cause__ or error.__context__
    while cause is not None:
        last, cause = cause, cause.__cause__ or cause.__context__
    if isinstance(last, gaierror):
        return _Fault(f"unknown host ({last.strerror})", absent=True, hopeless=last.errno == EAI_NONAME)
    if isinstance(last, ConnectionRefusedError):
        return _Fault("connection refused", absent=True)
    return _Fault(f"connection lost ({_message(told(str(last))) or type(last).__name__})", absent=True)


def retry_after_s(header: str | None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, given as seconds or as a date; None for none.

    Example:
        >>> retry_after_s("2.5"), retry_after_s("soon"), retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT")
        (2.5, None, 0.0)
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time()
        except ValueError:
            return None
    return max(0.0, seconds) if seconds == seconds else None


def _message(body: str) -> str:
    """What a body says, on one line."""
    try:
        found = json.loads(body)
    except ValueError:
        found = body
    while isinstance(found, Mapping):
        inner = next((found[key] for key in ("error", "message", "detail") if found.get(key)), None)
        found = inner if inner is not None else json.dumps(found)
    text = " ".join(str(found).split())
    return text if len(text) <= 300 else text[:300] + " …"
