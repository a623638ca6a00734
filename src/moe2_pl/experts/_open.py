"""From a pool's settings of a model to the backend that runs it."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from moe2_pl.errors import ConfigError, UnknownNameError
from moe2_pl.experts._backend import Backend

__all__ = ["BACKENDS", "open_backend"]

BACKENDS: dict[str, str] = {
    "transformers": "moe2_pl.experts._in_process._transformers:TransformersBackend",
    "llama_cpp": "moe2_pl.experts._in_process._llama_cpp:LlamaCppBackend",
    "endpoint": "moe2_pl.experts._endpoint._backend:EndpointBackend",
    "recorded": "moe2_pl.experts._recorded:RecordedBackend",
}

# Servers that people name as the backend.
_SERVERS = ("vllm", "ollama", "openai", "sglang", "tgi", "lmstudio", "lm_studio", "llama_server")
# Settings that belong to one backend and are often given to another.
_KEYS = {
    "base_url": "endpoint",
    "api_key_env": "endpoint",
    "concurrency": "endpoint",
    "adapter": "transformers",
    "dtype": "transformers",
    "device": "transformers",
    "tokens_per_batch": "transformers",
}


def open_backend(name: str, settings: Mapping[str, Any]) -> Backend:
    """The backend of one model; nothing is loaded yet.

    Args:
        name: of the model, for messages.
        settings: ``backend``, one of ``BACKENDS`` or ``package.module:Class`` of your own (default
            ``transformers``), and the arguments of that class.

    Raises:
        UnknownNameError: another backend, or an argument that it does not have.
        ConfigError: an argument that is missing, or a class that is no backend.

    Example:
        >>> open_backend("llama", {"backend": "endpont"})
        Traceback (most recent call last):
        moe2_pl.errors.UnknownNameError: unknown backend of model 'llama' 'endpont': did you mean 'endpoint'? Known: \
endpoint, llama_cpp, recorded, transformers
    """
    given = {key: value for key, value in settings.items() if key != "backend"}
    cls = _class(name, str(settings.get("backend", "transformers")))
    parameters = {
        key: parameter
        for key, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    for key in given:
        if key not in parameters:
            _check_place(name, str(settings.get("backend", "transformers")), str(key))
            raise UnknownNameError(f"setting of model '{name}'", str(key), [*parameters, "backend"])
    lacking = [key for key, p in parameters.items() if p.default is p.empty and key not in given]
    if lacking:
        raise ConfigError(f"expert_pool.models.{name} lacks {', '.join(lacking)}")
    return cls(**given)


def _check_place(name: str, backend: str, key: str) -> None:
    """Say which backend has a setting that this one has not.

    Raises:
        ConfigError: one of the project's has it.
    """
    if backend in BACKENDS and key in _KEYS:
        raise ConfigError(
            f"expert_pool.models.{name}: {key} is a setting of backend '{_KEYS[key]}', and the backend is '{backend}'; "
            f"give backend: {_KEYS[key]}, or leave {key} out"
        )


def _class(name: str, backend: str) -> type[Backend]:
    where = BACKENDS.get(backend, backend)
    module, colon, attribute = where.partition(":")
    if backend.lower().replace("-", "_") in _SERVERS:
        raise ConfigError(
            f"expert_pool.models.{name}.backend is '{backend}'; a server is asked by backend: endpoint, with its URL "
            'as base_url: "http://HOST:PORT/v1"'
        )
    if not colon:
        raise UnknownNameError(f"backend of model '{name}'", backend, BACKENDS)
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"expert_pool.models.{name}.backend '{backend}' cannot be imported: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise ConfigError(f"expert_pool.models.{name}.backend '{backend}' is no class derived from Backend")
    return found
