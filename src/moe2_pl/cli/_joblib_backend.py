"""Joblib's backend of processes, whose workers start with SIGINT held back."""

import signal
from collections.abc import Callable
from multiprocessing import resource_tracker
from typing import Any

from joblib.parallel import LokyBackend  # type: ignore[import-untyped]

__all__ = ["HeldBackend"]


class HeldBackend(LokyBackend):  # type: ignore[misc]
    """Blocks SIGINT while a job is handed over, which starts workers as they are needed: they inherit that."""

    def submit(self, func: Callable[..., object], callback: Callable[..., object] | None = None) -> Any:
        """As joblib's own; a Ctrl-C in the meantime comes once it has ended."""
        # The first worker would start it, too, which up to Python 3.11 unblocks SIGINT.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(func, callback)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
