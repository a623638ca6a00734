"""What one answer takes of a device: operations, bytes, and passes through layers; and the seconds that follow.

Source: the roofline model (Williams, Waterman, Patterson 2009) as used for LLM inference: reading a prompt is bound by
arithmetic, writing an answer by memory. A third term is what neither buys off: launching the work of each layer.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from moe2_pl.pool._device import DeviceProfile
from moe2_pl.pool._expert import Expert

__all__ = ["Work", "reading", "seconds", "writing"]

Floats = NDArray[np.float64]


class Work(NamedTuple):
    """Of n pieces of work, each [n].

    Args:
        tflop: 10¹² operations.
        gb: gigabytes read from memory.
        layers: layers passed through, one after another.
    """

    tflop: Floats
    gb: Floats
    layers: Floats


def reading(expert: Expert, prompt_tokens: Any) -> Work:
    """Reading a prompt of p tokens in one pass.

    With P parameters of the blocks used per token, H of the output head, and L layers of h query heads of size d:
    2 p P + 2 H + 2 L h d p² operations. The last is causal attention, scores and their weighted sum, each for half of
    all pairs. All weights are read that some token needs: of a mixture of experts with a share a active, 1 − (1 − a)^p.

    Args:
        prompt_tokens: [n]; nothing is done for none.
    """
    p = np.atleast_1d(np.asarray(prompt_tokens, dtype=np.float64))
    width = expert.layers * (expert.heads or expert.kv_heads) * expert.head_dim
    any_ = (p > 0).astype(np.float64)
    tflop = (2e9 * (p * expert.body_b + any_ * expert.head_b) + 2 * width * p**2) / 1e12
    share = expert.active_b / expert.params_b
    read_gb = expert.active_weight_gb / share * (1 - (1 - share) ** p)
    return Work(tflop, any_ * read_gb, any_ * expert.layers)


def writing(expert: Expert, context_tokens: Any, output_tokens: Any) -> Work:
    """Writing o tokens after c others, a pass each, for a whole batch of b such answers.

    Every pass reads the weights once and each answer's cache, which holds c + o/2 tokens on average; of a mixture of
    experts with a share a active, 1 − (1 − a)^b of all weights. Its arithmetic, 2 b (P + H) operations, hides behind
    memory until b is large.

    Args:
        context_tokens, output_tokens: [n].
    """
    c, o = (np.atleast_1d(np.asarray(t, dtype=np.float64)) for t in (context_tokens, output_tokens))
    b, share = expert.batch, expert.active_b / expert.params_b
    weights_gb = expert.active_weight_gb / share * (1 - (1 - share) ** b)
    gb = o * (weights_gb + b * expert.kv_gb_per_token * (c + o / 2))
    tflop = o * 2e-3 * b * (expert.body_b + expert.head_b)
    return Work(tflop, gb, o * expert.layers)


def seconds(work: Work, device: DeviceProfile) -> Floats:
    """max(operations / (peak · MFU), bytes / (bandwidth · MBU)) + layers · overhead, [n] seconds."""
    arithmetic_s = work.tflop / (device.peak_tflop_s * device.mfu)
    memory_s = work.gb / (device.bandwidth_gb_s * device.mbu)
    total: Floats = np.maximum(arithmetic_s, memory_s) + work.layers * device.layer_overhead_s
    return total
