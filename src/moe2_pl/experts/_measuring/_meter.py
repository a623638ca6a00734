"""Joules of what runs on the device at hand, where its hardware tells them: through Zeus, else NVIDIA's own library.

A meter sees what its sensors see: a graphics card without its host, a processor's packages, a whole Jetson module.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from moe2_pl.errors import ConfigError
from moe2_pl.experts._measuring._timing import RunningModel

__all__ = ["Meter", "Window"]

_SECONDS = 4.0


@dataclass
class Window:
    """A stretch of time, metered.

    Args:
        seconds: it took.
        joules: that the sensors counted, idle power included; NaN until it ends.
    """

    seconds: float = math.nan
    joules: float = math.nan


class _Counter(Protocol):
    """Sensors that count joules."""

    kind: str

    def start(self) -> Any:
        """Whatever :meth:`stop` needs."""

    def stop(self, started: Any) -> float:
        """Joules since."""


class Meter:
    """Windows over what the device at hand counts.

    Args:
        counter: of joules.
    """

    def __init__(self, counter: _Counter) -> None:
        self._counter = counter

    @property
    def kind(self) -> str:
        """Which sensors, through what: ``zeus: gpu``, ``zeus: soc``, ``nvml: gpu``, …"""
        return self._counter.kind

    @classmethod
    def here(cls, device: str | None = None) -> "Meter | None":
        """A meter of this machine; None where nothing here counts joules.

        Args:
            device: a torch device, to meter that card alone; None for all that is there.

        Raises:
            ConfigError: NVIDIA's library is installed and fails for another reason than that there is no card.
        """
        card = _card(device)
        if device is not None and card is None:
            return None
        found = _zeus(card) or _nvml(card)
        return None if found is None else cls(found)

    @contextmanager
    def window(self) -> Iterator[Window]:
        """A window over the block; windows do not overlap."""
        window = Window()
        started, counted = time.perf_counter(), self._counter.start()
        try:
            yield window
        finally:
            window.joules = self._counter.stop(counted)
            window.seconds = time.perf_counter() - started

    def watts(self, running: RunningModel) -> dict[str, float]:
        """``idle_w``, ``active_w`` while reading and ``decode_w`` while writing, means over seconds of each."""
        import torch

        ids = torch.ones((1, 512), dtype=torch.long, device=running.device)
        with torch.inference_mode():
            cache = running.model(ids, use_cache=True, logits_to_keep=1).past_key_values

            def read() -> None:
                running.model(ids, use_cache=False, logits_to_keep=1)

            def write() -> None:
                running.model(ids[:, :1], past_key_values=cache, use_cache=True, logits_to_keep=1)

            return {
                "idle_w": self._mean_w(lambda: time.sleep(0.05)),
                "active_w": self._mean_w(read),
                "decode_w": self._mean_w(write),
            }

    def _mean_w(self, run: Callable[[], object]) -> float:
        until = time.perf_counter() + _SECONDS
        with self.window() as window:
            while time.perf_counter() < until:
                run()
        return window.joules / window.seconds


class _Zeus:
    """``zeus.monitor.ZeusMonitor``: cards by NVIDIA and AMD, RAPL, Jetson and Apple modules."""

    def __init__(self, monitor: Any) -> None:
        self._monitor = monitor
        parts = {"gpu": monitor.gpu_indices, "cpu": monitor.cpu_indices, "soc": monitor.soc_is_present}
        self.kind = "zeus: " + " + ".join(name for name, there in parts.items() if there)

    def start(self) -> None:
        self._monitor.begin_window("moe2", restart=True)

    def stop(self, started: None) -> float:
        found = self._monitor.end_window("moe2")
        parts = (found.gpu_energy, found.cpu_energy or {}, found.dram_energy or {})
        return float(sum(sum(part.values()) for part in parts)) + _module_j(found.soc_energy)


def _module_j(measured: Any) -> float:
    """Joules of a whole module: a Jetson counts them as such, an Apple chip by its parts."""
    if measured is None:
        return 0.0
    whole = getattr(measured, "total_energy_mj", None)
    if whole is not None:
        return float(whole) / 1000
    parts = ("cpu_total_mj", "dram_mj", "gpu_mj", "gpu_sram_mj", "ane_mj", "cpu_energy_mj", "gpu_energy_mj")
    return sum(float(getattr(measured, part, None) or 0) for part in parts) / 1000


def _zeus(card: int | None) -> _Zeus | None:
    # Zeus logs every missing sensor; silence it. Return None if there is none.
    logging.getLogger("zeus").setLevel(logging.CRITICAL)
    try:
        from zeus.monitor import ZeusMonitor
    except ImportError:
        return None
    monitor = ZeusMonitor(
        gpu_indices=None if card is None else [card], cpu_indices=None if card is None else []
    )
    if not (monitor.gpu_indices or monitor.cpu_indices or monitor.soc_is_present):
        return None
    return _Zeus(monitor)


class _Nvml:
    """Counters of NVIDIA cards (Volta or newer), by ``pynvml``."""

    kind = "nvml: gpu"

    def __init__(self, library: Any, cards: list[Any]) -> None:
        self._library, self._cards = library, cards

    def start(self) -> float:
        return self._counted()

    def stop(self, started: float) -> float:
        return self._counted() - started

    def _counted(self) -> float:
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
        millijoules: list[int] = [
            self._library.nvmlDeviceGetTotalEnergyConsumption(card) for card in self._cards
        ]
        return sum(millijoules) / 1000


def _nvml(card: int | None) -> _Nvml | None:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        indices = range(pynvml.nvmlDeviceGetCount()) if card is None else [card]
        cards = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in indices]
        for handle in cards:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except (
        pynvml.NVMLError_LibraryNotFound,
        pynvml.NVMLError_DriverNotLoaded,
        pynvml.NVMLError_NotSupported,
    ):
        return None
    except pynvml.NVMLError as error:
        raise ConfigError(f"NVIDIA's management library cannot meter this machine: {error}") from error
    return _Nvml(pynvml, cards) if cards else None


def _card(device: str | None) -> int | None:
    """Number of a torch device's card; None where it is none."""
    import torch

    at = torch.device(device or "cpu")
    return (at.index or 0) if at.type == "cuda" else None
