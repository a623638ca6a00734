"""Seconds and joules of every query on every expert, from a roofline model of prefill and decoding.

Plain arrays in, plain arrays out. Figures are labelled ``modelled``; measured ones come with the outputs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import PoolError
from moe2_pl.pool._pool import ExpertPool
from moe2_pl.pool._roofline import reading, seconds, writing

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
        link_s: [n, N] seconds that a shared link is taken.
        speed_error: [N] share of the model's speed that nine in ten published speeds of the device stay within;
            NaN where the device was not compared, 0 where costs were measured.
    """

    latency_s: NDArray[np.float64]
    energy_j: NDArray[np.float64]
    busy_s: NDArray[np.float64]
    label: tuple[str, ...]
    link_s: NDArray[np.float64]
    speed_error: NDArray[np.float64]

    def rows(self, index: NDArray[np.int64]) -> "Costs":
        """The costs of the queries ``index`` [m]."""
        parts = (self.latency_s[index], self.energy_j[index], self.busy_s[index])
        return Costs(*parts, self.label, self.link_s[index], self.speed_error)


def roofline_costs(pool: ExpertPool, prompt_tokens: NDArray[Any], output_tokens: NDArray[Any]) -> Costs:
    """Costs of each answer on each expert's device.

    With the work of reading p prompt tokens and of writing o after them, as :mod:`moe2_pl.pool._roofline` counts it::

        prefill_s = max(operations / (F · MFU), bytes / (B · MBU)) + layers · overhead
        decode_s  = likewise, o passes
        busy_s    = prefill_s + decode_s / batch
        latency_s = prefill_s + decode_s + gate + Σ over links of RTT + jitter + bytes of both texts / rate
        energy_j  = (active_w − idle_w) · prefill_s + (decode_w − idle_w) · decode_s / batch

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
    p = np.asarray(prompt_tokens, dtype=np.float64)
    o = np.asarray(output_tokens, dtype=np.float64)
    if o.shape != (len(p), len(pool.experts)):
        raise PoolError(f"output_tokens has shape {list(o.shape)}; expected [{len(p)}, {len(pool.experts)}]")
    latency_s, energy_j, busy_s, link_s = (np.zeros(o.shape) for _ in range(4))
    for j, (expert, d) in enumerate(zip(pool.experts, pool.device_index, strict=True)):
        device = pool.devices[d]
        prefill_s = seconds(reading(expert, p), device)
        decode_s = seconds(writing(expert, p, o[:, j]), device)
        busy_s[:, j] = prefill_s + decode_s / expert.batch
        energy_j[:, j] = (device.active_w - device.idle_w) * prefill_s
        energy_j[:, j] += (device.decoding_w - device.idle_w) * decode_s / expert.batch
        sent_bytes = (p + o[:, j]) * _BYTES_PER_TOKEN
        latency_s[:, j] = prefill_s + decode_s + pool.network.gate_s
        for link in pool.way(d):
            latency_s[:, j] += link.seconds(sent_bytes)
        if device.link:
            link_s[:, j] = pool.network.links[device.link].sending_s(sent_bytes)
    error = [pool.devices[d].speed_error for d in pool.device_index]
    return Costs(
        latency_s,
        energy_j,
        busy_s,
        ("modelled",) * len(pool.experts),
        link_s,
        np.array([np.nan if e is None else e for e in error]),
    )


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
