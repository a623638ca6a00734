"""What a device reaches at its best: the two peaks that efficiencies are shares of."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Peaks", "measured_peaks", "median_seconds", "memory_gb"]

_MATRIX = {"cpu": 2048, "cuda": 8192}
_ARRAY_BYTES = {"cpu": 256 * 2**20, "cuda": 2**31}


@dataclass(frozen=True)
class Peaks:
    """Measured peaks.

    Args:
        tflop_s: of a large matrix product in the type that the model computes in.
        gb_s: of reading a large array, in 10⁹ bytes.
    """

    tflop_s: float
    gb_s: float


def measured_peaks(device: str, dtype: Any) -> Peaks:
    """The better of several runs each: what disturbs a run can only slow it down.

    Args:
        device: a torch device.
        dtype: a torch type.
    """
    import torch

    kind = torch.device(device).type
    n = _MATRIX.get(kind, 4096)
    a = torch.randn(n, n, device=device).to(dtype)
    product_s = min(seconds_of(lambda: a @ a, device, 6))
    array = torch.ones(_ARRAY_BYTES.get(kind, 2**28) // 4, device=device)
    reading_s = min(seconds_of(lambda: array.sum(), device, 12))
    return Peaks(2 * n**3 / product_s / 1e12, array.numel() * 4 / reading_s / 1e9)


def seconds_of(run: Callable[[], Any], device: str, repeats: int) -> list[float]:
    """Seconds of each of several runs, after one that warms up."""
    import torch

    def wait() -> None:
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)

    found = []
    for _ in range(repeats + 1):
        wait()
        started = time.perf_counter()
        run()
        wait()
        found.append(time.perf_counter() - started)
    return found[1:]


def median_seconds(run: Callable[[], Any], device: str, repeats: int) -> float:
    """The median of :func:`seconds_of`."""
    found = sorted(seconds_of(run, device, repeats))
    return found[len(found) // 2]


def memory_gb(device: str) -> float:
    """Memory of the device, in GB of 10⁹ bytes."""
    import torch

    if torch.device(device).type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory / 1e9)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
