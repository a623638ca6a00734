"""Watts of the device at hand, where its hardware tells them (Zeus)."""

import time
from typing import Any

from moe2_pl.experts._timing import RunningModel

__all__ = ["Meter"]

_SECONDS = 4.0


class Meter:
    """A Zeus monitor of one NVIDIA GPU: the card's own watts, without its host's.

    Args:
        monitor: ``zeus.monitor.ZeusMonitor``.
    """

    def __init__(self, monitor: Any) -> None:
        self.monitor = monitor

    @classmethod
    def of(cls, device: str) -> "Meter | None":
        """A meter of a torch device; None where Zeus is missing or the device is not an NVIDIA GPU."""
        import torch

        at = torch.device(device)
        if at.type != "cuda":
            return None
        try:
            from zeus.monitor import ZeusMonitor
        except ImportError:
            return None
        return cls(ZeusMonitor(gpu_indices=[at.index or 0]))

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
                "idle_w": self._mean(lambda: time.sleep(0.05)),
                "active_w": self._mean(read),
                "decode_w": self._mean(write),
            }

    def _mean(self, run: Any) -> float:
        self.monitor.begin_window("calibrate")
        started = time.perf_counter()
        while time.perf_counter() - started < _SECONDS:
            run()
        found = self.monitor.end_window("calibrate")
        return float(found.total_energy / found.time)
