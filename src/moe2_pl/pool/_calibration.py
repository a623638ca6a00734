"""Fitting a device's efficiencies to measured seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import nnls

from moe2_pl.errors import PoolError
from moe2_pl.pool._device import DeviceProfile
from moe2_pl.pool._expert import Expert
from moe2_pl.pool._roofline import reading, seconds, writing

__all__ = ["Observation", "calibrated", "predicted_s"]

# A fit with few points leans on these: 1 / MFU, 1 / MBU, seconds of a layer and pass.
_PRIOR = np.array([1 / 0.45, 1 / 0.8, 5e-5])
_PRIOR_WEIGHT = 0.1


@dataclass(frozen=True)
class Observation:
    """Measured seconds of one query, alone on its device.

    Args:
        expert: what answered.
        prompt_tokens: read within these seconds.
        context_tokens: in the cache when writing began; the prompt's where it was read.
        output_tokens: written within these seconds.
        seconds: measured.
    """

    expert: Expert
    prompt_tokens: float
    context_tokens: float
    output_tokens: float
    seconds: float


def predicted_s(device: DeviceProfile, observation: Observation) -> float:
    """What the cost model says of it."""
    o = observation
    read = seconds(reading(o.expert, o.prompt_tokens), device)
    written = seconds(writing(o.expert, o.context_tokens, o.output_tokens), device)
    return float(read[0] + written[0])


def calibrated(device: DeviceProfile, observations: Sequence[Observation]) -> DeviceProfile:
    """The device with ``mfu``, ``mbu`` and ``layer_overhead_s`` that suit the observations best.

    Seconds are linear in 1 / MFU, 1 / MBU and the overhead where prompts are bound by arithmetic. Least squares of
    relative errors under non-negativity (Lawson & Hanson 1974), with a weak pull towards efficiencies of .45 and .8
    and 50 µs, so that few points do not fit noise.

    Args:
        device: its ``peak_tflop_s`` and ``bandwidth_gb_s`` are kept.
        observations: at least one.

    Raises:
        PoolError: no observations, or seconds that are not positive.
    """
    if not observations:
        raise PoolError(f"device '{device.name}': nothing was measured to calibrate it by")
    wrong = [o.seconds for o in observations if not (np.isfinite(o.seconds) and o.seconds > 0)]
    if wrong:
        raise PoolError(f"device '{device.name}': measured {wrong[0]} seconds; they must be finite and > 0")
    rows = []
    for o in observations:
        read = reading(o.expert, o.prompt_tokens)
        written = writing(o.expert, o.context_tokens, o.output_tokens)
        terms = (
            read.tflop[0] / device.peak_tflop_s,
            written.gb[0] / device.bandwidth_gb_s,
            read.layers[0] + written.layers[0],
        )
        rows.append(np.array(terms) / o.seconds)
    # Unknowns in units of the prior, or the solver would weigh microseconds against shares.
    matrix = np.vstack([np.array(rows) * _PRIOR, _PRIOR_WEIGHT * np.eye(3)])
    target = np.concatenate([np.ones(len(rows)), np.full(3, _PRIOR_WEIGHT)])
    inverse_mfu, inverse_mbu, overhead_s = nnls(matrix, target)[0] * _PRIOR
    return replace(
        device,
        mfu=min(1.0, 1 / max(inverse_mfu, 1e-9)),
        mbu=min(1.0, 1 / max(inverse_mbu, 1e-9)),
        layer_overhead_s=float(overhead_s),
    )
