"""Experts, devices and what answering costs: the part of the problem that a user writes down."""

from moe2_pl.pool._architecture import architecture
from moe2_pl.pool._calibration import Observation, calibrated, predicted_s
from moe2_pl.pool._costs import Costs, category_means, roofline_costs, utilisation
from moe2_pl.pool._device import DeviceProfile
from moe2_pl.pool._expert import Expert
from moe2_pl.pool._gguf import gguf_architecture
from moe2_pl.pool._network import Link, Network
from moe2_pl.pool._pool import ExpertPool

__all__ = [
    "Costs",
    "DeviceProfile",
    "Expert",
    "ExpertPool",
    "Link",
    "Network",
    "Observation",
    "architecture",
    "calibrated",
    "category_means",
    "gguf_architecture",
    "predicted_s",
    "roofline_costs",
    "utilisation",
]
