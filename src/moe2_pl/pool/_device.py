"""What the planner knows of an edge device: memory, speed and wall power."""

import math
from dataclasses import dataclass, fields

from moe2_pl.errors import PoolError

__all__ = ["DeviceProfile"]

_MAY_BE_ZERO = {"token_overhead_s", "idle_w", "rtt_s"}


@dataclass(frozen=True)
class DeviceProfile:
    """One box that can run experts. Power is the whole box's, at the wall.

    Args:
        name: unique in the pool.
        memory_gb: memory that weights and caches may fill.
        bandwidth_gb_s: memory bandwidth.
        peak_tflop_s: dense 16-bit throughput.
        idle_w: power when switched on and waiting.
        active_w: power while it answers.
        mfu: share of ``peak_tflop_s`` that prefill reaches.
        mbu: share of ``bandwidth_gb_s`` that decoding reaches.
        token_overhead_s: time per decoded token that no bandwidth buys off (launches, sampling).
        rate_mbit_s: rate of the link to the gateway.
        rtt_s: round-trip time of that link.
        source: where the figures come from.

    Raises:
        PoolError: a figure that is not finite or not positive, or a device that draws less when active.
    """

    name: str
    memory_gb: float
    bandwidth_gb_s: float
    peak_tflop_s: float
    idle_w: float
    active_w: float
    mfu: float = 0.45
    mbu: float = 0.75
    token_overhead_s: float = 0.0
    rate_mbit_s: float = 100.0
    rtt_s: float = 0.005
    source: str = ""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, str):
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
        if self.active_w < self.idle_w:
            raise PoolError(
                f"device '{self.name}': active_w {self.active_w} is below idle_w {self.idle_w}; "
                "both are the whole box's wall power"
            )
