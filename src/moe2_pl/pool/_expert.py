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
        heads: query heads of a block, for the arithmetic of attention. Defaults to ``kv_heads``.
        vocab, hidden: rows and columns of the tables of tokens, embedding and output head. Left out, they are
            taken as weights like all others.
        tied: whether embedding and output head are one table.
        head_bits: bits per weight of these tables, which many formats leave at 16. Defaults to ``bits``.
        base: for an adapter, the model that it is put on: adapters of one base on one device load the base's
            weights and runtime once. The other figures are then the base's.
        adapter_gb: what the adapter itself loads.
        batch: answers that are written at once, on average; each of them has a cache, and all wait for a pass.

    Raises:
        PoolError: a figure that is not finite or not positive, or tables that are larger than the model.
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
    heads: int | None = None
    vocab: int | None = None
    hidden: int | None = None
    tied: bool = False
    head_bits: float | None = None
    base: str = ""
    adapter_gb: float = 0.0
    batch: int = 1

    def __post_init__(self) -> None:
        if not self.model_id:
            object.__setattr__(self, "model_id", self.name)
        for key in (
            "params_b",
            "layers",
            "kv_heads",
            "head_dim",
            "bits",
            "kv_bits",
            "context_tokens",
            "batch",
        ):
            value = getattr(self, key)
            if not math.isfinite(value) or value <= 0:
                raise PoolError(f"expert '{self.name}': {key} is {value}; it must be finite and > 0")
        for key in ("heads", "vocab", "hidden", "head_bits"):
            given = getattr(self, key)
            if given is not None and not (math.isfinite(given) and given > 0):
                raise PoolError(f"expert '{self.name}': {key} is {given}; it must be finite and > 0")
        if (self.vocab is None) != (self.hidden is None):
            raise PoolError(
                f"expert '{self.name}': vocab is {self.vocab} and hidden {self.hidden}; give both or neither"
            )
        for key in ("runtime_gb", "quality_loss", "adapter_gb"):
            value = getattr(self, key)
            if not math.isfinite(value) or value < 0:
                raise PoolError(f"expert '{self.name}': {key} is {value}; it must be finite and ≥ 0")
        if self.active_params_b is not None and not 0 < self.active_params_b <= self.params_b:
            raise PoolError(
                f"expert '{self.name}': active_params_b is {self.active_params_b}; "
                f"it must be > 0 and at most params_b = {self.params_b}"
            )

        if self.tables_b >= self.active_b:
            raise PoolError(
                f"expert '{self.name}': its tables of {self.vocab} × {self.hidden} hold {self.tables_b:.3g} billion "
                f"parameters, the model {self.active_b:.3g}; vocab or hidden is too large"
            )

    @property
    def head_b(self) -> float:
        """Parameters of the output head, in billions; 0 where the tables are not told apart."""
        return (self.vocab or 0) * (self.hidden or 0) / 1e9

    @property
    def tables_b(self) -> float:
        """Parameters of embedding and output head, in billions."""
        return self.head_b * (1 if self.tied else 2)

    @property
    def body_b(self) -> float:
        """Parameters of the blocks used per token, in billions: each is multiplied with every token."""
        return self.active_b - self.tables_b

    @property
    def weight_gb(self) -> float:
        """Memory of all weights, in GB."""
        return self._gb(self.params_b - self.tables_b, self.tables_b)

    @property
    def active_weight_gb(self) -> float:
        """Weights read per decoded token, in GB: of the embedding only a row, which is nothing."""
        return self._gb(self.body_b, self.head_b)

    def _gb(self, blocks_b: float, tables_b: float) -> float:
        return (blocks_b * self.bits + tables_b * (self.head_bits or self.bits)) / 8

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
        """Memory on its device: weights, runtime, adapter, and a cache of ``context_tokens`` for each of a batch."""
        cache_gb = self.batch * self.kv_gb_per_token * self.context_tokens
        return self.weight_gb + self.runtime_gb + self.adapter_gb + cache_gb

    @property
    def shared_gb(self) -> float:
        """The part of ``memory_gb`` that all adapters of its base on its device have in common."""
        return self.weight_gb + self.runtime_gb if self.base else 0.0
