"""LoRA adapters in folders: their hashes, and whether they fit the base that they are put on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from moe2_pl.errors import ConfigError
from moe2_pl.experts._files._models import (
    PACKAGE,
    ModelFiles,
    closest_folder,
    digest_of,
    first_line,
    is_hub_id,
    package_folder,
)

__all__ = ["BASE_KEY", "AdapterFiles", "find_adapter"]

# In the metadata of an adapter's safetensors file: the SHA-256 of the base that it was trained on.
BASE_KEY = "base_sha256"
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter as PEFT saves it.

    Args:
        folder: with the configuration and the weights as safetensors.
    """

    folder: Path

    @cached_property
    def digest(self) -> str:
        """SHA-256 of configuration and weights."""
        return digest_of(self.folder / _CONFIG, self.folder / _WEIGHTS)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """What ``adapter_config.json`` says.

        Raises:
            ConfigError: it is no JSON.
        """
        try:
            return dict(json.loads((self.folder / _CONFIG).read_text()))
        except ValueError as error:
            raise ConfigError(f"adapter '{self.folder}': {_CONFIG} cannot be read: {error}") from error

    def check_base(self, base: ModelFiles) -> None:
        """Refuse a base that is another than the adapter names; whether it fits is seen once it is loaded.

        Raises:
            ConfigError: another base.
        """
        trained_on = str(self.config.get("base_model_name_or_path") or "")
        both_of_hub = base.folder is None and is_hub_id(trained_on) and not Path(trained_on).exists()
        if both_of_hub and trained_on != base.name:
            raise ConfigError(
                f"adapter '{self.folder}' was trained on '{trained_on}', not on '{base.name}'; give that as model"
            )
        wanted, there = self._metadata().get(BASE_KEY), base.identity.get("sha256")
        if wanted is not None and there is not None and wanted != there:
            named = f"'{trained_on}'" if trained_on else "a base"
            of_file = f" (file '{base.gguf}')" if base.gguf else ""
            raise ConfigError(
                f"adapter '{self.folder}' was trained on {named} with SHA-256 {wanted[:12]}…, and model "
                f"'{base.name}'{of_file} has {there[:12]}…; give the adapter's own base as model and file"
            )

    def check_shapes(self, model: Any, name: str) -> None:
        """Refuse a base with matrices of other shapes than the adapter changes.

        Args:
            model: the base, other adapters on it or not.
            name: of the base, for messages.

        Raises:
            ConfigError: a matrix of another shape.
        """
        modules = dict(model.named_modules())
        for key, shape in self._shapes().items():
            place, _, factor = key.removeprefix("base_model.model.").partition(".lora_")
            if factor not in ("A.weight", "B.weight") or place not in modules:
                continue
            side, needs = ("inputs", shape[1]) if factor[0] == "A" else ("outputs", shape[0])
            has = getattr(modules[place], "in_features" if side == "inputs" else "out_features", needs)
            if has != needs:
                raise ConfigError(
                    f"adapter '{self.folder}' needs {needs} {side} of '{place}', and model '{name}' has {has}; "
                    "it belongs to another base"
                )

    def _metadata(self) -> Mapping[str, str]:
        with self._opened() as opened:
            return dict(opened.metadata() or {})

    def _shapes(self) -> dict[str, list[int]]:
        with self._opened() as opened:
            return {key: opened.get_slice(key).get_shape() for key in opened.keys()}  # noqa: SIM118 (no mapping)

    def _opened(self) -> Any:
        from safetensors import SafetensorError, safe_open

        try:
            return safe_open(self.folder / _WEIGHTS, framework="numpy")
        except (SafetensorError, OSError) as error:
            raise ConfigError(
                f"adapter '{self.folder}': {_WEIGHTS} cannot be read: {first_line(error)}"
            ) from error


def find_adapter(adapter: str) -> AdapterFiles:
    """The adapter in a folder, or in one of a Python package: ``package:NAME/FOLDER``.

    Raises:
        ConfigError: no such folder, no adapter in it, or weights that are a pickle.
    """
    folder = package_folder(adapter, "adapter") if adapter.startswith(PACKAGE) else Path(adapter).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"adapter '{adapter}': there is no such folder{closest_folder(adapter)}")
    if not (folder / _CONFIG).is_file():
        raise ConfigError(
            f"adapter '{adapter}': the folder holds no {_CONFIG}, so it is no adapter that PEFT saved"
        )
    if not (folder / _WEIGHTS).is_file():
        kept = (
            "only a pickle, which can run code" if (folder / "adapter_model.bin").is_file() else "no weights"
        )
        raise ConfigError(f"adapter '{adapter}': the folder holds {kept}; save the adapter as {_WEIGHTS}")
    return AdapterFiles(folder)
