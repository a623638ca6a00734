"""The pool: all experts that could be deployed, the devices they stand on, and how both are written down."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import MoE2Error, PoolError, UnknownNameError
from moe2_pl.pool._device import DeviceProfile
from moe2_pl.pool._expert import Expert
from moe2_pl.pool._network import Link, Network, link_from

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
        network: what lies between users and devices.

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
    network: Network = field(default_factory=Network)

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
        _raise(self.name, list(self._problems()))

    def _problems(self) -> Iterator[MoE2Error]:
        for d in self.devices:
            if d.link and d.link not in self.network.links:
                yield UnknownNameError(f"link of device '{d.name}'", d.link, self.network.links)
        memory = {d.name: d.memory_gb for d in self.devices}
        for e in self.experts:
            if e.device not in memory:
                yield UnknownNameError(f"device of expert '{e.name}'", e.device, memory)
            elif e.memory_gb > memory[e.device]:
                yield PoolError(
                    f"'{e.name}' needs {e.memory_gb:.1f} GB at {e.bits:g} bit, "
                    f"{e.memory_gb - memory[e.device]:.1f} GB more than '{e.device}' has: "
                    f"{_advice(e, memory[e.device])}"
                )
        for (device, base), members in self._adapters.items():
            sizes = sorted({round(e.shared_gb, 9) for e in members})
            if len(sizes) > 1:
                yield PoolError(
                    f"adapters of '{base}' on '{device}' disagree on its size: "
                    f"{' and '.join(f'{gb:.3g} GB' for gb in sizes)}; one base has one precision"
                )

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any]) -> "ExpertPool":
        """Build a pool from ``{name, experts: {name: …}, devices: {name: …}, network: …}``, as a YAML file holds it.

        An expert with ``placements: {key: {device: …, …}}`` stands for one expert each, ``name@key``, with the
        figures of the placement before its own and one ``model_id``. An expert with a ``mode`` stands on that
        power mode of its device, which becomes a device of its own, ``device@mode``, in the same box.

        Raises:
            PoolError: figures that are missing or make no sense; all of them at once where there are several.
            UnknownNameError: a key that an expert or a device does not have.

        Example:
            >>> orin = {"memory_gb": 60, "bandwidth_gb_s": 204.8, "peak_tflop_s": 42.5, "idle_w": 12, "active_w": 45,
            ...         "modes": {"30W": {"active_w": 31}}}
            >>> llama = {"params_b": 8, "layers": 32, "kv_heads": 8, "head_dim": 128, "bits": 8, "device": "orin",
            ...          "placements": {"full": {}, "low": {"mode": "30W", "bits": 4.5, "quality_loss": 0.01}}}
            >>> pool = ExpertPool.from_mapping({"name": "home", "experts": {"llama": llama}, "devices": {"orin": orin}})
            >>> pool.names, pool.model_ids, pool.device_names
            (('llama@full', 'llama@low'), ('llama',), ('orin', 'orin@30W'))
        """
        problems: list[MoE2Error] = []
        placed = _placed(config["experts"])
        experts = tuple(_built(Expert, "expert", _on_modes(placed), problems))
        devices = tuple(_built(DeviceProfile, "device", _settings(config["devices"], placed), problems))
        network = _network(config.get("network") or {}, problems)
        _raise(config["name"], problems)
        return cls(config["name"], experts, devices, network)

    def to_mapping(self) -> dict[str, Any]:
        """The inverse of :meth:`from_mapping`."""
        return {
            "name": self.name,
            "experts": {e.name: _without_name(e) for e in self.experts},
            "devices": {d.name: _without_name(d) for d in self.devices},
            "network": asdict(self.network),
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
        """[N] memory that each expert fills, without what it shares with its memory group."""
        return np.array([e.memory_gb - e.shared_gb for e in self.experts])

    @cached_property
    def box(self) -> NDArray[np.int64]:
        """[D] number of the machine that each device is a setting of."""
        boxes = list(dict.fromkeys(d.box for d in self.devices))
        return np.array([boxes.index(d.box) for d in self.devices])

    @cached_property
    def _adapters(self) -> dict[tuple[str, str], list[Expert]]:
        """(device, base) → its adapters: the G memory groups."""
        found: dict[tuple[str, str], list[Expert]] = {}
        for e in self.experts:
            if e.base:
                found.setdefault((e.device, e.base), []).append(e)
        return found

    @cached_property
    def memory_group(self) -> NDArray[np.int64]:
        """[N] number of the memory group of each expert, −1 for none."""
        groups = list(self._adapters)
        return np.array([groups.index((e.device, e.base)) if e.base else -1 for e in self.experts])

    @cached_property
    def group_gb(self) -> NDArray[np.float64]:
        """[G] memory that each group fills once."""
        return np.array([members[0].shared_gb for members in self._adapters.values()])

    @cached_property
    def device_memory_gb(self) -> NDArray[np.float64]:
        """[D] memory of each device."""
        return np.array([d.memory_gb for d in self.devices])

    @cached_property
    def idle_w(self) -> NDArray[np.float64]:
        """[D] idle wall power of each device."""
        return np.array([d.idle_w for d in self.devices])

    @property
    def all_idle_w(self) -> float:
        """Idle wall power with every box switched on, each at the setting that draws most."""
        most = np.zeros(int(self.box.max()) + 1)
        np.maximum.at(most, self.box, self.idle_w)
        return float(most.sum())

    def way(self, device: int) -> tuple[Link, ...]:
        """The links between a user and a device: the user's, a shared one, its own."""
        d = self.devices[device]
        own = Link(d.rate_mbit_s, d.rtt_s, d.jitter_s)
        shared = [self.network.links[d.link]] if d.link else []
        return (*([self.network.user] if self.network.user else []), *shared, own)

    @cached_property
    def link_index(self) -> NDArray[np.int64]:
        """[D] number of the shared link that each device hangs on, −1 for none."""
        names = list(self.network.links)
        return np.array([names.index(d.link) if d.link else -1 for d in self.devices])

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


def _network(config: Mapping[str, Any], problems: list[MoE2Error]) -> Network:
    parts: dict[str, Any] = {}
    try:
        for key, value in config.items():
            if key not in (known := [f.name for f in fields(Network)]):
                raise UnknownNameError("key of the network", key, known)
            if key == "links":
                parts[key] = {name: link_from(link, f"link '{name}'") for name, link in value.items()}
            elif key == "user":
                parts[key] = value and link_from(value, "the user's link")
            else:
                parts[key] = value
        return Network(**parts)
    except MoE2Error as error:
        problems.append(error)
        return Network()


def _without_name(item: Expert | DeviceProfile) -> dict[str, Any]:
    return {key: value for key, value in asdict(item).items() if key != "name"}


def _raise(pool: str, problems: list[MoE2Error]) -> None:
    """All problems in one line; one alone as what it is."""
    if len(problems) == 1 and isinstance(problems[0], UnknownNameError):
        raise problems[0]
    if problems:
        raise PoolError(f"pool '{pool}': {'; '.join(map(str, problems))}")


def _placed(experts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Experts by name, each placement one of them."""
    found: dict[str, dict[str, Any]] = {}
    for name, config in experts.items():
        own = {key: value for key, value in config.items() if key != "placements"}
        placements = config.get("placements") or {}
        if not placements:
            found[name] = own
        for key, changes in placements.items():
            model = own.get("model_id") or name
            said = {k: value for k, value in changes.items() if value is not None}
            found[f"{name}@{key}"] = {**own, "model_id": model, **said}
    return found


def _on_modes(experts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The experts on devices that are one mode each."""
    return {
        name: {
            key: _setting(config) if key == "device" else value
            for key, value in config.items()
            if key != "mode"
        }
        for name, config in experts.items()
    }


def _settings(
    devices: Mapping[str, Mapping[str, Any]], experts: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """The devices with a device for each mode that an expert asks for; one that is only used in modes is left out."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, config in devices.items():
        asked = {
            _setting(e): e["mode"] for e in experts.values() if e.get("device") == name and e.get("mode")
        }
        if not asked or any(e.get("device") == name and not e.get("mode") for e in experts.values()):
            found[name] = config
        for setting, mode in asked.items():
            found[setting] = {**config, "mode": mode, "box": name}
    return found


def _setting(expert: Mapping[str, Any]) -> Any:
    return f"{expert.get('device')}@{expert['mode']}" if expert.get("mode") else expert.get("device")


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
