"""The pool: all experts that could be deployed, the devices they stand on, and how both are written down."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import MoE2Error, PoolError, UnknownNameError
from moe2_pl.pool._device import DeviceProfile
from moe2_pl.pool._expert import Expert

__all__ = ["ExpertPool"]

# Bits per weight of usual formats, scales included: Q8_0, Q6_K, Q5_K_M, Q4_K_M, INT4 with group scales, Q3_K_M, Q2_K.
_PRECISIONS = (8.5, 6.6, 5.7, 4.85, 4.25, 3.9, 2.6)

T = TypeVar("T", Expert, DeviceProfile)


@dataclass(frozen=True, eq=False)
class ExpertPool:
    """N experts on D devices.

    Args:
        name: of the pool.
        experts: N experts, names unique.
        devices: D devices, names unique.

    Raises:
        PoolError: no experts, names given twice, or an expert that is larger than its device's memory.
        UnknownNameError: an expert on a device that the pool does not have.

    Example:
        >>> orin = DeviceProfile("orin", 60, 204.8, 42.5, idle_w=12, active_w=55)
        >>> llama = Expert("llama", "orin", params_b=8.0, layers=32, kv_heads=8, head_dim=128, bits=4.5)
        >>> ExpertPool("home", (llama,), (orin,)).device_index.tolist()
        [0]
    """

    name: str
    experts: tuple[Expert, ...]
    devices: tuple[DeviceProfile, ...]

    def __post_init__(self) -> None:
        if not self.experts:
            raise PoolError(f"pool '{self.name}' has no experts; it needs at least one")
        for kind in ("experts", "devices"):
            names = [item.name for item in getattr(self, kind)]
            if len(set(names)) != len(names):
                twice = next(n for n in names if names.count(n) > 1)
                raise PoolError(
                    f"pool '{self.name}' names '{twice}' twice among its {kind}; names must be unique"
                )
        memory = {d.name: d.memory_gb for d in self.devices}
        for e in self.experts:
            if e.device not in memory:
                raise UnknownNameError(f"device of expert '{e.name}'", e.device, memory)
        too_large = [
            f"'{e.name}' needs {e.memory_gb:.1f} GB at {e.bits:g} bit, {e.memory_gb - memory[e.device]:.1f} GB "
            f"more than '{e.device}' has: {_advice(e, memory[e.device])}"
            for e in self.experts
            if e.memory_gb > memory[e.device]
        ]
        if too_large:
            raise PoolError(f"pool '{self.name}': {'; '.join(too_large)}")

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any]) -> "ExpertPool":
        """Build a pool from ``{name, experts: {name: …}, devices: {name: …}}``, as a YAML file holds it.

        Raises:
            PoolError: figures that are missing or make no sense; all of them at once where there are several.
            UnknownNameError: a key that an expert or a device does not have.
        """
        problems: list[MoE2Error] = []
        devices = tuple(_built(DeviceProfile, "device", config["devices"], problems))
        experts = tuple(_built(Expert, "expert", config["experts"], problems))
        if len(problems) > 1:
            raise PoolError(f"pool '{config['name']}': {'; '.join(map(str, problems))}")
        if problems:
            raise problems[0]
        return cls(config["name"], experts, devices)

    def to_mapping(self) -> dict[str, Any]:
        """The inverse of :meth:`from_mapping`."""
        return {
            "name": self.name,
            "experts": {e.name: _without_name(e) for e in self.experts},
            "devices": {d.name: _without_name(d) for d in self.devices},
        }

    def fingerprint(self) -> str:
        """A SHA-256 of everything the pool says."""
        return hashlib.sha256(json.dumps(self.to_mapping(), sort_keys=True).encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """N names of experts."""
        return tuple(e.name for e in self.experts)

    @cached_property
    def model_ids(self) -> tuple[str, ...]:
        """The M distinct models, in order of first appearance: the gate's columns."""
        return tuple(dict.fromkeys(e.model_id for e in self.experts))

    @property
    def device_names(self) -> tuple[str, ...]:
        """D names of devices."""
        return tuple(d.name for d in self.devices)

    @cached_property
    def device_index(self) -> NDArray[np.int64]:
        """[N] index of each expert's device."""
        return np.array([self.device_names.index(e.device) for e in self.experts])

    @cached_property
    def memory_gb(self) -> NDArray[np.float64]:
        """[N] memory that each expert fills."""
        return np.array([e.memory_gb for e in self.experts])

    @cached_property
    def device_memory_gb(self) -> NDArray[np.float64]:
        """[D] memory of each device."""
        return np.array([d.memory_gb for d in self.devices])

    @cached_property
    def idle_w(self) -> NDArray[np.float64]:
        """[D] idle wall power of each device."""
        return np.array([d.idle_w for d in self.devices])

    def expand(self, per_model: NDArray[Any]) -> NDArray[np.float64]:
        """Repeat columns over placements and take off each placement's quality loss.

        Args:
            per_model: [n, M] competence, one column per entry of ``model_ids``.

        Returns:
            [n, N], one column per expert.

        Raises:
            PoolError: another number of columns.
        """
        if per_model.shape[1] != len(self.model_ids):
            raise PoolError(
                f"expand got {per_model.shape[1]} columns; pool '{self.name}' has {len(self.model_ids)} models"
            )
        column = [self.model_ids.index(e.model_id) for e in self.experts]
        loss = np.array([e.quality_loss for e in self.experts])
        expanded: NDArray[np.float64] = np.asarray(per_model, dtype=np.float64)[:, column] - loss
        return expanded


def _without_name(item: Expert | DeviceProfile) -> dict[str, Any]:
    return {key: value for key, value in asdict(item).items() if key != "name"}


def _advice(expert: Expert, memory_gb: float) -> str:
    """What would make a model fit."""
    lower = (replace(expert, bits=bits) for bits in _PRECISIONS if bits < expert.bits)
    bits = next((e.bits for e in lower if e.memory_gb <= memory_gb), None)
    return "no precision fits, use a larger device" if bits is None else f"{bits:g} bit would fit"


def _built(
    cls: type[T], kind: str, configs: Mapping[str, Mapping[str, Any]], problems: list[MoE2Error]
) -> Iterator[T]:
    for name, config in configs.items():
        try:
            yield _build(cls, kind, name, config)
        except MoE2Error as error:
            problems.append(error)


def _build(cls: type[T], kind: str, name: str, config: Mapping[str, Any]) -> T:
    known = {f.name: f for f in fields(cls)}
    for key in config:
        if key not in known:
            raise UnknownNameError(f"key of {kind} '{name}'", key, known)
    missing = [
        f.name
        for f in known.values()
        if f.default is MISSING
        and f.default_factory is MISSING
        and f.name != "name"
        and config.get(f.name) is None
    ]
    if missing:
        raise PoolError(f"{kind} '{name}' lacks {', '.join(missing)}")
    return cls(**{**config, "name": name})
