"""The way of a query: user → gateway, where the gate chooses → edge device → back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import PoolError, UnknownNameError

__all__ = ["Link", "Network", "link_from"]


@dataclass(frozen=True)
class Link:
    """One hop.

    Args:
        rate_mbit_s: bits per second, in millions, shared by prompt and answer.
        rtt_s: round-trip time of an empty message.
        jitter_s: mean of the random delay on top of it, exponential.

    Raises:
        PoolError: a figure that is not finite, a rate that is not positive, a negative time.

    Example:
        >>> float(Link(8.0, 0.01, 0.002).seconds(np.array(1000.0)))  # 1 kB over 1 MB/s
        0.013000000000000001
    """

    rate_mbit_s: float
    rtt_s: float
    jitter_s: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate_mbit_s) and self.rate_mbit_s > 0):
            raise PoolError(f"rate_mbit_s is {self.rate_mbit_s}; it must be finite and > 0")
        for key in ("rtt_s", "jitter_s"):
            if not (math.isfinite(getattr(self, key)) and getattr(self, key) >= 0):
                raise PoolError(f"{key} is {getattr(self, key)}; it must be finite and ≥ 0")

    def sending_s(self, size_bytes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Seconds that the link is taken by so many bytes."""
        return np.asarray(size_bytes * 8 / (self.rate_mbit_s * 1e6))

    def seconds(self, size_bytes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean seconds until so many bytes have crossed it, when nothing else does."""
        return np.asarray(self.rtt_s + self.jitter_s + self.sending_s(size_bytes))


@dataclass(frozen=True)
class Network:
    """What lies between users and devices besides each device's own link.

    Args:
        user: from a user to the gateway; None where users sit at it.
        gate_s: seconds that encoder and gate take at the gateway.
        join_s: seconds that joining takes for each answer, where several experts answer.
        links: name → a link between gateway and edge that several devices share, as their ``link`` says.

    Raises:
        PoolError: a negative time.
    """

    user: Link | None = None
    gate_s: float = 0.0
    join_s: float = 0.0
    links: Mapping[str, Link] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("gate_s", "join_s"):
            if not (math.isfinite(getattr(self, key)) and getattr(self, key) >= 0):
                raise PoolError(f"network: {key} is {getattr(self, key)}; it must be finite and ≥ 0")


def link_from(config: Mapping[str, Any], where: str) -> Link:
    """A link as a YAML file holds it.

    Raises:
        PoolError: figures that are missing or make no sense.
        UnknownNameError: a key that a link does not have.
    """
    known = [f.name for f in fields(Link)]
    for key in config:
        if key not in known:
            raise UnknownNameError(f"key of {where}", key, known)
    missing = [key for key in ("rate_mbit_s", "rtt_s") if config.get(key) is None]
    if missing:
        raise PoolError(f"{where} lacks {', '.join(missing)}")
    try:
        return Link(**config)
    except PoolError as error:
        raise PoolError(f"{where}: {error}") from None
