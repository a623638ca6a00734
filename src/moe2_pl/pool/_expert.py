"""What the planner knows of an expert: a frozen LLM at one precision on one device."""

import math
from dataclasses import dataclass

from moe2_pl.errors import PoolError

__all__ = ["Expert"]


@dataclass(frozen=True)
class Expert:
    """One frozen LLM at one precision on one device.

    Args:
        name: unique in the pool.
        device: name of its device.
        params_b: parameters, in billions.
        layers: transformer blocks.
        kv_heads: key-value heads of a block.
        head_dim: size of a head.
        bits: bits per weight, quantisation scales included.
        model_id: what it computes; placements of one model share one. Defaults to ``name``.
        active_params_b: parameters used per token, in billions (mixture-of-experts models). Defaults to all.
        kv_bits: bits per cached key or value.
        context_tokens: tokens that the cache is sized for.
        runtime_gb: memory of the runtime beside weights and cache.
        quality_loss: score lost to this precision against the recorded outcomes.

    Raises:
        PoolError: a figure that is not finite or not positive.
    """

    name: str
    device: str
    params_b: float
    layers: int
    kv_heads: int
    head_dim: int
    bits: float
    model_id: str = ""
    active_params_b: float | None = None
    kv_bits: float = 16.0
    context_tokens: int = 4096
    runtime_gb: float = 0.5
    quality_loss: float = 0.0

    def __post_init__(self) -> None:
        if not self.model_id:
            object.__setattr__(self, "model_id", self.name)
        for key in ("params_b", "layers", "kv_heads", "head_dim", "bits", "kv_bits", "context_tokens"):
            value = getattr(self, key)
            if not math.isfinite(value) or value <= 0:
                raise PoolError(f"expert '{self.name}': {key} is {value}; it must be finite and > 0")
        for key in ("runtime_gb", "quality_loss"):
            value = getattr(self, key)
            if not math.isfinite(value) or value < 0:
                raise PoolError(f"expert '{self.name}': {key} is {value}; it must be finite and ≥ 0")
        if self.active_params_b is not None and not 0 < self.active_params_b <= self.params_b:
            raise PoolError(
                f"expert '{self.name}': active_params_b is {self.active_params_b}; "
                f"it must be > 0 and at most params_b = {self.params_b}"
            )

    @property
    def weight_gb(self) -> float:
        """Memory of all weights, in GB."""
        return self.params_b * self.bits / 8

    @property
    def active_weight_gb(self) -> float:
        """Weights read per decoded token, in GB."""
        return self.active_b * self.bits / 8

    @property
    def active_b(self) -> float:
        """Parameters used per token, in billions."""
        return self.params_b if self.active_params_b is None else self.active_params_b

    @property
    def kv_gb_per_token(self) -> float:
        """Cache of one token: keys and values of every layer, in GB."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.kv_bits / 8 / 1e9

    @property
    def memory_gb(self) -> float:
        """Memory on its device: weights, cache of ``context_tokens``, runtime."""
        return self.weight_gb + self.kv_gb_per_token * self.context_tokens + self.runtime_gb
