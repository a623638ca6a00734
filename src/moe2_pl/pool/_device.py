"""What the planner knows of an edge device: memory, speed and wall power."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from moe2_pl.errors import PoolError, UnknownNameError

__all__ = ["DeviceProfile"]

_NO_FIGURES = {"name", "source", "mode", "modes", "box", "link"}
_MAY_LACK = {"decode_w", "speed_error"}
_MAY_BE_ZERO = {"layer_overhead_s", "idle_w", "rtt_s", "jitter_s"}


@dataclass(frozen=True)
class DeviceProfile:
    """One box that can run experts. Power is the whole box's, at the wall.

    Args:
        name: unique in the pool.
        memory_gb: memory that weights and caches may fill.
        bandwidth_gb_s: memory bandwidth.
        peak_tflop_s: dense 16-bit throughput.
        idle_w: power when switched on and waiting.
        active_w: power while it reads a prompt.
        decode_w: power while it writes an answer, waiting for memory. Defaults to ``active_w``.
        mfu: share of ``peak_tflop_s`` that prefill reaches.
        mbu: share of ``bandwidth_gb_s`` that decoding reaches.
        layer_overhead_s: time per layer and pass that no bandwidth buys off (launching its work).
        rate_mbit_s: rate of the link to the gateway.
        rtt_s: round-trip time of that link.
        jitter_s: mean of the random delay on top of it.
        link: name of a link of the network that it shares with other devices, before its own; empty for none.
        source: where the figures come from.
        speed_error: share of the model's speed that nine in ten published or measured speeds of such devices stay
            within; None where they were not compared.
        mode: one of ``modes``, whose figures replace those above; empty for these.
        modes: power modes, name → figures by the names above.
        box: the machine that this is a setting of, where a pool holds several; of one box only one is used.
            Defaults to ``name``.

    Raises:
        PoolError: a figure that is not a number, not finite or not positive, or a device that draws less when active.
        UnknownNameError: a mode that the device does not have, or a figure in a mode that no device has.
    """

    name: str
    memory_gb: float
    bandwidth_gb_s: float
    peak_tflop_s: float
    idle_w: float
    active_w: float
    mfu: float = 0.45
    mbu: float = 0.75
    layer_overhead_s: float = 0.0
    rate_mbit_s: float = 100.0
    rtt_s: float = 0.005
    source: str = ""
    decode_w: float | None = None
    speed_error: float | None = None
    mode: str = ""
    modes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    box: str = ""
    jitter_s: float = 0.0
    link: str = ""

    def __post_init__(self) -> None:
        figures = [item.name for item in fields(self) if item.name not in _NO_FIGURES]
        for mode, changes in self.modes.items():
            for key, value in changes.items():
                if key not in figures:
                    raise UnknownNameError(f"figure of mode '{mode}' of device '{self.name}'", key, figures)
                if isinstance(value, bool) or not isinstance(value, (int, float)):
                    raise PoolError(f"device '{self.name}', mode '{mode}': {key} is {value!r}; need a number")
        if not self.box:
            object.__setattr__(self, "box", self.name)
        if self.mode and self.mode not in self.modes:
            raise UnknownNameError(f"mode of device '{self.name}'", self.mode, self.modes)
        for key, value in self.modes.get(self.mode, {}).items():
            object.__setattr__(self, key, value)
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in _NO_FIGURES or (value is None and item.name in _MAY_LACK):
                continue
            low_enough = value < 0 or (value == 0 and item.name not in _MAY_BE_ZERO)
            if not math.isfinite(value) or low_enough:
                bound = "≥ 0" if item.name in _MAY_BE_ZERO else "> 0"
                raise PoolError(
                    f"device '{self.name}': {item.name} is {value}; it must be finite and {bound}"
                )
        for share in ("mfu", "mbu"):
            if getattr(self, share) > 1:
                raise PoolError(
                    f"device '{self.name}': {share} is {getattr(self, share)}; it is a share, at most 1"
                )
        for key, value in (("active_w", self.active_w), ("decode_w", self.decoding_w)):
            if value < self.idle_w:
                raise PoolError(
                    f"device '{self.name}': {key} {value} is below idle_w {self.idle_w}; "
                    "both are the whole box's wall power"
                )

    @property
    def decoding_w(self) -> float:
        """Power while it writes an answer."""
        return self.active_w if self.decode_w is None else self.decode_w
