"""From a composed configuration to the inputs of planning."""

from collections.abc import Mapping
from typing import Any

from moe2_pl.outputs import ExpertOutputsDataModule
from moe2_pl.planning import Inputs, prepare
from moe2_pl.pool import ExpertPool

__all__ = ["configured_inputs"]


def configured_inputs(settings: Mapping[str, Any], pool: ExpertPool, data: ExpertOutputsDataModule) -> Inputs:
    """What :func:`moe2_pl.planning.prepare` makes of a configuration.

    Args:
        settings: ``expert_pool``, ``traffic``, ``solver``, ``budget``, ``tariff`` and ``sweep`` of the configuration.
        pool: N experts.
        data: outputs of at least the pool's models.
    """
    of_pool, traffic, sweep = settings["expert_pool"], settings["traffic"], settings["sweep"]
    return prepare(
        pool,
        data,
        queries_per_s=traffic["queries_per_s"],
        budget=settings["budget"],
        output_tokens=of_pool["output_tokens"],
        max_utilisation=traffic["max_utilisation"],
        energy_model=of_pool["energy_model"],
        required=of_pool["required"],
        excluded=of_pool["excluded"],
        max_experts=of_pool["max_experts"],
        tariff=settings["tariff"],
        energy_points=sweep["energy_points"],
        latency_points=sweep["latency_points"],
        solver=settings["solver"]["name"],
    )
