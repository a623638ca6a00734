"""Seconds and joules of every query on every expert, from a roofline model of prefill and decoding.

Plain arrays in, plain arrays out. Figures are labelled ``modelled``; measured ones come with the outputs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import PoolError
from moe2_pl.pool._pool import ExpertPool

__all__ = ["Costs", "category_means", "roofline_costs", "utilisation"]

# English text under the tokenizers in use; only the link's time depends on it.
_BYTES_PER_TOKEN = 4.0


@dataclass(frozen=True, eq=False)
class Costs:
    """Costs of n queries on N experts.

    Args:
        latency_s: [n, N] seconds from sending the query to the whole answer.
        energy_j: [n, N] joules above idle.
        busy_s: [n, N] seconds that the device is busy.
        label: N words: ``measured``, ``modelled`` or ``published``.
    """

    latency_s: NDArray[np.float64]
    energy_j: NDArray[np.float64]
    busy_s: NDArray[np.float64]
    label: tuple[str, ...]

    def rows(self, index: NDArray[np.int64]) -> "Costs":
        """The costs of the queries ``index`` [m]."""
        return Costs(self.latency_s[index], self.energy_j[index], self.busy_s[index], self.label)


def roofline_costs(pool: ExpertPool, prompt_tokens: NDArray[Any], output_tokens: NDArray[Any]) -> Costs:
    """Costs of one answer at a time on each expert's device.

    With p prompt and o output tokens; P parameters of the blocks used per token, H of the output head, L layers of h
    query heads of size d; W bytes of weights read per token and K bytes of cache a token; on a device with F peak
    FLOP/s, B bytes/s and an overhead of t seconds a pass::

        prefill_s = max((2 p P + 2 H + 2 L h d p²) / (F · MFU), W / (B · MBU)) + t
        decode_s  = o · ((W + K (p + o/2)) / (B · MBU) + t)
        latency_s = prefill_s + decode_s + RTT + bytes / rate
        energy_j  = (active_w − idle_w) · prefill_s + (decode_w − idle_w) · decode_s

    Nothing is read or written for an empty prompt. 2 L h d p² is causal attention: scores and their sum, each half of
    4 · L h d p² / 2. The cache is read whole for every token, p + o/2 tokens on average. Source: the roofline model
    (Williams, Waterman, Patterson 2009) as used for LLM inference: prefill is bound by arithmetic, decoding by
    memory.

    Args:
        pool: N experts.
        prompt_tokens: [n].
        output_tokens: [n, N].

    Raises:
        PoolError: shapes that disagree.

    Example:
        >>> import numpy as np
        >>> from moe2_pl.pool import DeviceProfile, Expert, ExpertPool
        >>> box = DeviceProfile("box", 60, 200.0, 40.0, idle_w=10, active_w=60, mfu=0.5, mbu=0.5, rtt_s=0)
        >>> llm = Expert("llm", "box", params_b=10.0, layers=1, kv_heads=1, head_dim=1, bits=8)
        >>> costs = roofline_costs(ExpertPool("one", (llm,), (box,)), np.array([0]), np.array([[10.0]]))
        >>> costs.busy_s.round(3).tolist(), costs.energy_j.round(1).tolist()
        ([[1.0]], [[50.0]])
    """
    p = np.asarray(prompt_tokens, dtype=np.float64)[:, None]
    o = np.asarray(output_tokens, dtype=np.float64)
    if o.shape != (len(p), len(pool.experts)):
        raise PoolError(f"output_tokens has shape {list(o.shape)}; expected [{len(p)}, {len(pool.experts)}]")
    device = [pool.devices[d] for d in pool.device_index]

    def per_expert(values: list[float]) -> NDArray[np.float64]:
        return np.array(values)

    flop_s = per_expert([d.peak_tflop_s * 1e12 * d.mfu for d in device])
    per_token = per_expert([2e9 * e.body_b for e in pool.experts])
    once = per_expert([2e9 * e.head_b for e in pool.experts])
    squared = per_expert([2 * e.layers * (e.heads or e.kv_heads) * e.head_dim for e in pool.experts])
    read_gb_s = per_expert([d.bandwidth_gb_s * d.mbu for d in device])
    weight_gb = per_expert([e.active_weight_gb for e in pool.experts])
    kv_gb = per_expert([e.kv_gb_per_token for e in pool.experts])
    overhead_s = per_expert([d.token_overhead_s for d in device])
    rtt_s = per_expert([d.rtt_s for d in device])
    byte_s = per_expert([8 / (d.rate_mbit_s * 1e6) for d in device])

    arithmetic_s = (p * per_token + once + p**2 * squared) / flop_s
    prefill_s = np.where(p > 0, np.maximum(arithmetic_s, weight_gb / read_gb_s) + overhead_s, 0.0)
    decode_s = o * ((weight_gb + kv_gb * (p + o / 2)) / read_gb_s + overhead_s)
    energy_j = (
        per_expert([d.active_w - d.idle_w for d in device]) * prefill_s
        + per_expert([d.decoding_w - d.idle_w for d in device]) * decode_s
    )
    busy_s = prefill_s + decode_s
    network_s = rtt_s + (p + o) * _BYTES_PER_TOKEN * byte_s
    return Costs(busy_s + network_s, energy_j, busy_s, ("modelled",) * len(pool.experts))


def category_means(values: NDArray[Any], category: NDArray[np.int64], categories: int) -> NDArray[np.float64]:
    """Mean of each column over the queries of each category.

    Args:
        values: [n, N].
        category: [n] in 0…categories − 1.
        categories: C.

    Returns:
        [C, N]; NaN in the row of a category without queries.

    Example:
        >>> import numpy as np
        >>> category_means(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1]), 2).tolist()
        [[2.0], [5.0]]
    """
    total = np.zeros((categories, values.shape[1]))
    np.add.at(total, category, values)
    count = np.bincount(category, minlength=categories)[:, None]
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def utilisation(
    busy_s: NDArray[np.float64],
    choice: NDArray[np.int64],
    device: NDArray[np.int64],
    devices: int,
    queries_per_s: float,
) -> NDArray[np.float64]:
    """ρ of each device: arrival rate times mean busy seconds a query; at 1 or more its queue grows without end.

    Args:
        busy_s: [n, N].
        choice: [n] the expert that answers each query.
        device: [N] device of each expert.
        devices: D.
        queries_per_s: arrivals at the whole fleet.

    Returns:
        [D].
    """
    spent = np.bincount(device[choice], weights=busy_s[np.arange(len(choice)), choice], minlength=devices)
    return np.asarray(queries_per_s * spent / len(choice))
