"""Getting to know an OpenAI-compatible server: its address, whether it has the model, and why it refuses."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from moe2_pl.errors import ConfigError, EndpointError, MoE2Error, UnknownNameError
from moe2_pl.experts._endpoint._answers import speaks_of_log_probs
from moe2_pl.experts._endpoint._calls import Calls, RefusedError

__all__ = ["CHAT", "COMPLETIONS", "address", "completion", "explained", "meet", "without_log_probs"]

COMPLETIONS, CHAT = "/completions", "/chat/completions"
# What a server answers to a path that it does not have.
_NO_PATH = {404, 405, 501}
_KEY = {401, 403}
# Of a long list of models the nearest are named.
_NAMED = 12


def address(base_url: str) -> str:
    """The base URL without a slash at its end.

    Raises:
        ConfigError: no http URL, one that holds a password, or the path of one kind of request.

    Example:
        >>> address("http://box:8000/v1/")
        'http://box:8000/v1'
    """
    parts = urlsplit(base_url)
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "base_url holds a user or password; name the key's environment variable in api_key_env"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"base_url is {base_url!r}; it should look like 'http://host:8000/v1'")
    if parts.query or parts.fragment:
        raise ConfigError(
            f"base_url is {base_url!r}; it should end with the path, such as 'http://host:8000/v1'"
        )
    url = base_url.rstrip("/")
    for path in (CHAT, COMPLETIONS):
        if url.endswith(path):
            raise ConfigError(
                f"base_url {base_url} names one kind of request; it should be {url.removesuffix(path)}"
            )
    return url


async def meet(calls: Calls, model: str, check: bool) -> None:
    """Learn whether the server is there and has the model: several answer with another one than was named.

    Args:
        calls: to the server.
        model: that will be asked.
        check: whether a list of models that lacks it is an error.

    Raises:
        ConfigError: the list lacks the model, the key is refused, or the URL lacks ``/v1``.
        EndpointError: no answer.
    """
    try:
        listed = await calls.ask("/models")
    except RefusedError as refused:
        if refused.status in _KEY:
            raise
        if refused.status == 404:
            await _look_for_v1(calls)
        return
    found = listed.get("data")
    models = found if isinstance(found, Sequence) else []
    names = [str(model["id"]) for model in models if isinstance(model, Mapping) and "id" in model]
    if check and names and model not in names and f"{model}:latest" not in names:
        near = get_close_matches(model, map(calls.told, names), _NAMED, cutoff=0.0)
        unknown = UnknownNameError(f"model of {calls.url}", model, near)
        raise ConfigError(f"{unknown}; check_model=False if it has models that it does not list") from unknown


async def _look_for_v1(calls: Calls) -> None:
    """Raise where the API is one step further down."""
    try:
        await calls.ask(f"{calls.url}/v1/models")
    except RefusedError as refused:
        if refused.status in _NO_PATH:
            return
    raise ConfigError(f"base_url {calls.url} has no API, but {calls.url}/v1 has: it should probably be that")


async def completion(
    calls: Calls, path: str, body: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, int]]:
    """The first choice and the token counts of a completion.

    Raises:
        RefusedError: by the server.
        EndpointError: no answer, or one without choices or counts.
    """
    found = await calls.ask(path, body)
    choices, usage = found.get("choices"), found.get("usage")
    if not isinstance(choices, Sequence) or not choices or not isinstance(choices[0], Mapping):
        raise EndpointError(f"{calls.url}{path} answers without choices: {calls.told(found)[:200]}")
    counts = {"prompt_tokens", "completion_tokens"}
    if not isinstance(usage, Mapping) or not all(isinstance(usage.get(count), int) for count in counts):
        raise EndpointError(
            f"{calls.url}{path} answers without usage, which counts the tokens: {calls.told(usage)[:200]}"
        )
    return choices[0], usage


async def explained(calls: Calls, refused: RefusedError, path: str, api_key_env: str | None) -> MoE2Error:
    """The error of a status that will not go away, with what would be right.

    Args:
        calls: to the server.
        refused: the status.
        path: that was asked for.
        api_key_env: where the key came from.
    """
    said = f"{calls.url}{path}: {refused}"
    if refused.status in _KEY:
        if api_key_env is None:
            return ConfigError(f"{said}; name the environment variable that holds the API key in api_key_env")
        return ConfigError(f"{said}; the environment variable {api_key_env} holds a key that is refused")
    if refused.status in _NO_PATH and "model" not in refused.body.lower():
        other = CHAT if path == COMPLETIONS else COMPLETIONS
        if await _has(calls, other):
            chat = "true" if other == CHAT else "false"
            return ConfigError(f"{calls.url} offers {other} but no {path}; ask it with chat: {chat}")
        return ConfigError(f"{said}; is {calls.url} the address of an OpenAI-compatible API, as a rule …/v1?")
    if path == COMPLETIONS and speaks_of_log_probs(refused.body):
        return without_log_probs(calls, str(refused))
    return ConfigError(said)


async def _has(calls: Calls, path: str) -> bool:
    """Whether the server knows a path that is for posts only: getting it is then not allowed, rather than not found."""
    try:
        await calls.ask(path)
    except RefusedError as refused:
        return refused.status != 404
    except EndpointError:
        return False
    return True


def without_log_probs(calls: Calls, why: str) -> ConfigError:
    """The error of a server that cannot be asked for log-likelihoods."""
    return ConfigError(
        f"{calls.url} offers no log-probs of a prompt: {why}; vLLM and llama-cpp-python (--logits_all true) do, "
        "or use a task with written answers"
    )
