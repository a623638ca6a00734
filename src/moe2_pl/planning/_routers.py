"""From a pool and outputs to selection problems: costs, the planning queries, and each router's own problem."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import DataError
from moe2_pl.outputs import ExpertOutputs
from moe2_pl.pool import Costs, ExpertPool, category_means, roofline_costs
from moe2_pl.selection import FacilityLocation, SelectionProblem, Utility

__all__ = ["Planner", "Router", "outcome_costs", "table_router"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Pseudo-queries of the mean over all queries that a cell of a lookup table is shrunk towards: small families
# would otherwise be planned by noise.
_TABLE_STRENGTH = 1.0


def outcome_costs(pool: ExpertPool, outputs: ExpertOutputs, tokens_by_family: Mapping[str, float]) -> Costs:
    """Costs of every query on every expert of the pool: measured where the outputs hold them, else modelled.

    Args:
        pool: N experts of M models.
        outputs: n queries, one column per model of the pool, in its order.
        tokens_by_family: assumed tokens of an answer, used where the outputs hold no ``output_tokens``.

    Raises:
        DataError: neither counted nor assumed tokens for some family.
    """
    column = [pool.model_ids.index(e.model_id) for e in pool.experts]
    modelled = roofline_costs(
        pool, outputs.prompt_tokens, _answer_tokens(outputs, tokens_by_family)[:, column]
    )
    if outputs.latency_s is None or outputs.energy_j is None:
        return modelled
    labels = outputs.cost_label or ("measured",) * len(outputs.experts)
    latency_s = np.asarray(outputs.latency_s, dtype=np.float64)[:, column]
    energy_j = np.asarray(outputs.energy_j, dtype=np.float64)[:, column]
    # Seconds without joules: whatever answered drew the power of reading a prompt.
    above_idle_w = np.array([d.active_w - d.idle_w for d in pool.devices])[pool.device_index]
    energy_j = np.where(np.isnan(energy_j), latency_s * above_idle_w, energy_j)
    none = np.zeros(len(column))
    # Measured from end to end: nothing of the network is added.
    return Costs(
        latency_s, energy_j, latency_s, tuple(labels[c] for c in column), np.zeros_like(latency_s), none
    )


def _answer_tokens(outputs: ExpertOutputs, tokens_by_family: Mapping[str, float]) -> NDArray[Any]:
    if outputs.output_tokens is not None:
        return outputs.output_tokens
    kinds, index = (
        (outputs.families, outputs.family)
        if outputs.family is not None
        else (outputs.categories, outputs.category)
    )
    missing = [kind for kind in kinds if kind not in tokens_by_family]
    if missing:
        raise DataError(
            f"expert_pool.output_tokens says nothing of {', '.join(missing)}; these outputs hold no counted tokens"
        )
    per_query = np.array([tokens_by_family[kind] for kind in kinds], dtype=np.float64)[index]
    return np.repeat(per_query[:, None], len(outputs.experts), axis=1)


@dataclass(frozen=True, eq=False)
class Router:
    """What a router plans with, and what it ranks by on held-out queries.

    Args:
        name: of the router.
        problem: its selection problem over planning queries.
        rank: [n_test, N]; the allowed expert with the largest entry answers.
        planned: [n_validation, N], the same for planning queries.
    """

    name: str
    problem: SelectionProblem
    rank: Floats
    planned: Floats

    def on_planning_queries(self) -> "Router":
        """The same router, to rank the planning queries."""
        return replace(self, rank=self.planned)


@dataclass(frozen=True, eq=False)
class Planner:
    """Everything that the selection problems of one pool share.

    Args:
        pool: N experts.
        categories: C names.
        energy_j, latency_s: [C, N] mean costs of a category's planning queries.
        queries_per_s: arrivals.
        energy_model: ``deployed`` or ``active``.
        required, excluded, max_experts: as in :class:`SelectionProblem`.
    """

    pool: ExpertPool
    categories: tuple[str, ...]
    energy_j: Floats
    latency_s: Floats
    queries_per_s: float
    energy_model: str = "deployed"
    required: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    max_experts: int | None = None

    @classmethod
    def from_costs(
        cls, pool: ExpertPool, outputs: ExpertOutputs, costs: Costs, rows: Ints, **options: Any
    ) -> "Planner":
        """A planner whose category means are taken over the planning queries ``rows``.

        Raises:
            DataError: a category without planning queries.
        """
        C = len(outputs.categories)
        category = outputs.category[rows]
        empty = np.flatnonzero(np.bincount(category, minlength=C) == 0)
        if len(empty):
            raise DataError(
                f"category '{outputs.categories[empty[0]]}' has no training or validation queries"
            )
        return cls(
            pool,
            outputs.categories,
            category_means(costs.energy_j[rows], category, C),
            category_means(costs.latency_s[rows], category, C),
            **options,
        )

    @property
    def join_s(self) -> Floats:
        """Seconds to join the answers of so many experts, [N + 1]; none where one answers."""
        several = self.energy_model == "active"
        return np.arange(len(self.pool.experts) + 1, dtype=np.float64) * (self.pool.network.join_s * several)

    def problem(self, utility: Utility, category: Ints) -> SelectionProblem:
        """The selection problem of a utility over queries of the given categories."""
        return SelectionProblem(
            utility,
            energy_j=self.energy_j,
            latency_s=self.latency_s,
            category=category,
            categories=self.categories,
            device=self.pool.device_index,
            idle_w=self.pool.idle_w,
            queries_per_s=self.queries_per_s,
            memory_gb=self.pool.memory_gb,
            device_memory_gb=self.pool.device_memory_gb,
            box=self.pool.box,
            memory_group=self.pool.memory_group,
            group_gb=self.pool.group_gb,
            energy_model=self.energy_model,
            aggregation_s=self.join_s,
            experts=self.pool.names,
            required=self.required,
            excluded=self.excluded,
            max_experts=self.max_experts,
        )


def table_router(
    name: str, planner: Planner, outputs: ExpertOutputs, parts: tuple[Ints, Ints, Ints], kind: Ints
) -> Router:
    """A router that knows one number per kind of query and model: the mean training score.

    Args:
        name: of the router.
        planner: costs and constraints.
        outputs: n queries, one column per model of the pool.
        parts: rows of train, validation and test.
        kind: [n] the kind of each query; each kind belongs to one category.
    """
    train, validation, test = parts
    kinds = int(kind.max()) + 1
    score = outputs.score.astype(np.float64)
    overall = score[train].mean(0)
    total = np.zeros((kinds, score.shape[1]))
    np.add.at(total, kind[train], score[train])
    count = np.bincount(kind[train], minlength=kinds)[:, None]
    table = planner.pool.expand((total + _TABLE_STRENGTH * overall) / (count + _TABLE_STRENGTH))
    # One weighted row per kind and category stands for all of its planning queries.
    pairs, weight = np.unique(
        np.stack([kind[validation], outputs.category[validation]]), axis=1, return_counts=True
    )
    utility = FacilityLocation(table[pairs[0]], weight=weight.astype(np.float64))
    return Router(name, planner.problem(utility, pairs[1]), table[kind[test]], table[kind[validation]])
