"""Base models in memory, each loaded once for all experts that share it; their adapters are switched, not reloaded."""

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from threading import Lock, RLock
from typing import Any

from moe2_pl.errors import ConfigError
from moe2_pl.experts._files._adapters import AdapterFiles
from moe2_pl.experts._files._models import ModelFiles, first_line
from moe2_pl.experts._files._unpacked_gguf import unpacked
from moe2_pl.experts._in_process._scoring import Reader

__all__ = ["Base", "Lease", "lease", "load_model"]

_BASES: dict[tuple[object, ...], "Base"] = {}
_LOCK = Lock()


class Base:
    """A loaded model with its tokenizer, and the adapters on it.

    Args:
        model: of transformers, in evaluation mode.
        tokenizer: of that model.
        name: of the model, for messages.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.reader = Reader(model)
        self.users: Counter[str | None] = Counter()
        self._lock = RLock()
        self._active: str | None = None

    @contextmanager
    def wearing(self, adapter: str | None) -> Iterator["Base"]:
        """The base with one of its adapters active, or with none; others wait meanwhile."""
        with self._lock:
            if adapter != self._active:
                if adapter is None:
                    self.model.disable_adapters()
                else:
                    if self._active is None:
                        self.model.enable_adapters()
                    self.model.set_adapter(adapter)
                self._active = adapter
            yield self

    def put_on(self, adapter: AdapterFiles) -> None:
        """Attach an adapter, once.

        Raises:
            ConfigError: it does not fit, or ``peft`` is not installed.
        """
        with self._lock:
            if self.users[adapter.digest]:
                return
            adapter.check_shapes(self.model, self.name)
            try:
                with quietly():
                    report = self.model.load_adapter(str(adapter.folder), adapter_name=adapter.digest)
            except ImportError as error:
                raise ConfigError(f"adapters need peft: pip install 'moe2-pl[experts]' ({error})") from error
            except (OSError, ValueError, RuntimeError, TypeError) as error:
                raise ConfigError(
                    f"adapter '{adapter.folder}' cannot be loaded: {first_line(error)}"
                ) from error
            # Whatever loading has made active.
            self.model.enable_adapters()
            self.model.set_adapter(adapter.digest)
            self._active = adapter.digest
            # The report counts the weights of other adapters as missing too.
            missing = [key for key in report.missing_keys if adapter.digest in key]
            unlike = sorted({*report.unexpected_keys, *missing})
            if unlike:
                self.take_off(adapter.digest)
                raise ConfigError(
                    f"adapter '{adapter.folder}' and model '{self.name}' do not agree on "
                    f"'{unlike[0].replace(f'.{adapter.digest}', '')}'; it belongs to another base"
                )

    def take_off(self, adapter: str) -> None:
        """Forget an adapter."""
        with self._lock, self.wearing(None), quietly():
            self.model.delete_adapter(adapter)


class Lease:
    """The use of a base with one adapter or none, until it is given back.

    Args:
        key: of the base.
        base: loaded.
        adapter: its name on the base.
    """

    def __init__(self, key: tuple[object, ...], base: Base, adapter: str | None) -> None:
        self._key, self._base, self._adapter = key, base, adapter

    @property
    def base(self) -> Base:
        """The base, whatever adapter is active."""
        return self._base

    @contextmanager
    def use(self) -> Iterator[Base]:
        """The base with the adapter of this lease active."""
        with self._base.wearing(self._adapter) as base:
            yield base

    def give_back(self) -> None:
        """The last one frees the adapter, and the last of all the base."""
        with _LOCK:
            users = self._base.users
            users[self._adapter] -= 1
            if not users.total():
                del _BASES[self._key]
            elif self._adapter is not None and not users[self._adapter]:
                self._base.take_off(self._adapter)


def lease(files: ModelFiles, adapter: AdapterFiles | None, dtype: str, device: str, trust: bool) -> Lease:
    """A base with an adapter, loaded unless it is in memory.

    Args:
        files: of the base.
        adapter: to put on it.
        dtype: name of the torch type that it computes in.
        device: a torch device, or ``auto`` to spread it over all there are.
        trust: whether code that the model brings along may run.

    Raises:
        ConfigError: the model or the adapter cannot be loaded.
    """
    key = (tuple(files.identity.items()), dtype, device, trust)
    with _LOCK:
        base = _BASES.get(key)
        if base is None:
            model, tokenizer = load_model(files, dtype, device, trust)
            base = _BASES[key] = Base(model, tokenizer, files.name)
        name = None if adapter is None else adapter.digest
        try:
            if adapter is not None:
                base.put_on(adapter)
            base.users[name] += 1
        finally:
            if not base.users.total():
                del _BASES[key]
        return Lease(key, base, name)


def load_model(files: ModelFiles, dtype: str, device: str, trust: bool = False) -> tuple[Any, Any]:
    """A model of transformers in evaluation mode, and its tokenizer.

    Args:
        files: of the model; a GGUF file is unpacked to ``dtype`` once and kept.
        dtype: name of the torch type that it computes in.
        device: a torch device, or ``auto`` to spread it over all there are.
        trust: whether code that the model brings along may run.

    Raises:
        ConfigError: it cannot be loaded.
    """
    try:
        import safetensors
        import torch
        import transformers
    except ImportError as error:
        raise ConfigError(
            f"running a model needs transformers: pip install 'moe2-pl[experts]' ({error})"
        ) from error
    how: dict[str, Any] = {"trust_remote_code": trust}
    if files.folder is None and files.gguf is None:
        how["revision"] = files.commit
    try:
        with quietly():
            source = files.local() if files.gguf is None else unpacked(files.local() / files.gguf, dtype)
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(source), **how)
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(
                str(source),
                dtype=getattr(torch, dtype),
                use_safetensors=None if files.pickles else True,
                device_map="auto" if device == "auto" else None,
                **how,
            )
            return (model if device == "auto" else model.to(device)).eval(), tokenizer
    except torch.OutOfMemoryError as error:
        raise ConfigError(f"model '{files.name}' does not fit into the memory of {device}") from error
    except UnpicklingError as error:
        raise ConfigError(
            f"model '{files.name}' cannot be loaded: its pickle holds more than tensors, and that is never opened"
        ) from error
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, safetensors.SafetensorError) as error:
        raise ConfigError(f"model '{files.name}' cannot be loaded: {first_line(error)}") from error


@contextmanager
def quietly() -> Iterator[None]:
    """Without the progress bars and the advice that transformers and PEFT print while they load."""
    from transformers.utils import logging as shared

    logging: Any = shared
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
