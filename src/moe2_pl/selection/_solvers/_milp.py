"""The same choice as a mixed-integer linear programme, for HiGHS: what an operations researcher would write.

Facility location with set-up costs of devices, and masks that depend on which devices are on.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint
from scipy.optimize import milp as highs
from scipy.sparse import coo_array

from moe2_pl.errors import ConfigError
from moe2_pl.selection._problem._groups import groups_of_equal
from moe2_pl.selection._problem._instance import Instance
from moe2_pl.selection._problem._utilities import FacilityLocation
from moe2_pl.selection._solvers._search import Search

__all__ = ["milp"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]


@dataclass
class _Rows:
    """Rows Σ value · x ≤ upper (or =, where lower is given) of a sparse matrix, one entry list."""

    row: list[NDArray[np.intp]] = field(default_factory=list)
    column: list[NDArray[np.intp]] = field(default_factory=list)
    value: list[FloatArray] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)

    def add(
        self, columns: NDArray[np.intp], values: FloatArray | float, upper: float, lower: float = -np.inf
    ) -> None:
        self.row.append(np.full(len(columns), len(self.upper)))
        self.column.append(columns)
        self.value.append(np.broadcast_to(np.asarray(values, dtype=np.float64), columns.shape))
        self.lower.append(lower)
        self.upper.append(upper)

    def pairs(self, smaller: NDArray[np.intp], larger: NDArray[np.intp]) -> None:
        """smaller ≤ larger, one row for each pair."""
        first = len(self.upper)
        rows = np.arange(first, first + len(smaller))
        self.row += [rows, rows]
        self.column += [smaller, larger]
        self.value += [np.ones(len(smaller)), -np.ones(len(smaller))]
        self.lower += [-np.inf] * len(smaller)
        self.upper += [0.0] * len(smaller)

    def constraint(self, width: int) -> LinearConstraint:
        entries = np.concatenate(self.value), (np.concatenate(self.row), np.concatenate(self.column))
        matrix = coo_array(entries, shape=(len(self.upper), width)).tocsr()
        return LinearConstraint(matrix, np.array(self.lower), np.array(self.upper))


def milp(search: Search) -> None:
    """Solve the linear programme with HiGHS through `scipy.optimize.milp`.

    Variables: y_j (expert j is deployed), u_d (device d is on), m_cj (category c may use j), g_k (memory group
    k is loaded), all binary, and z_ij in [0, 1] (the share of query row i that j answers); rows of the same
    category with equal competences are one weighted row. Maximise Σ_i w_i Σ_j q_ij z_ij, with Σ_j z_ij = 1 and

    - ``deployed``: z_ij ≤ m_c(i)j ≤ y_j ≤ u_d(j), and Σ_d idle_d u_d + e_cj ≤ E_c + M_cj (1 − m_cj);
    - ``active``: z_ij ≤ y_j, Σ_j e_cj y_j ≤ E_c; an aggregation time that grows with |S| takes binaries
      s_m for the size, y_j + Σ {s_m : latency_cj + aggregation_s[m] > L_c} ≤ 1;
    - both: memory of each device, where a group's part is charged by g_k ≥ y_j; at most one device of a
      box; required, excluded, the largest number of experts.

    HiGHS accepts what breaks a scaled row by 1e-6. A subset of its that is infeasible by this package's
    tolerance is forbidden by a cut and the programme solved again. Its own gap is absolute 1e-6, so an
    answer may be called ``gap`` with a gap below that; its bound is a floating-point one.

    Raises:
        ConfigError: another utility than `FacilityLocation`.
    """
    instance = search.instance
    if not isinstance(instance.problem.utility, FacilityLocation):
        kind = type(instance.problem.utility).__name__
        raise ConfigError(f"solver 'milp' got a utility {kind}; it needs FacilityLocation")
    if not instance.packs(instance.problem.required):
        return
    model = _Model(instance)
    while not search.stopped:
        left = search.options.time_limit_s - search.elapsed_s
        if left <= 0:
            search.stopped = True
            return
        options = {"time_limit": left, "mip_rel_gap": 0.0}
        if search.options.node_limit is not None:
            options["node_limit"] = search.options.node_limit
        result = highs(
            -model.gain,
            integrality=model.integral,
            bounds=Bounds(model.least, model.most),
            constraints=model.rows.constraint(len(model.gain)),
            options=options,
        )
        search.nodes += int(result.get("mip_node_count") or 0) + 1
        # 0: solved, 1: a limit was reached, 2: infeasible
        if result.status not in (0, 1, 2):
            raise ConfigError(f"solver 'milp' failed on these numbers: HiGHS says '{result.message}'")
        search.stopped = result.status == 1
        if result.status == 2:
            search.lower_bound_to(search.value)
            return
        bound = result.get("mip_dual_bound")
        if bound is not None and np.isfinite(bound):
            search.lower_bound_to(-float(bound))
        if result.x is None:
            return
        mask = result.x[: instance.problem.n_experts] > 0.5
        if search.offer(mask) > -np.inf:
            return
        model.forbid(mask)


class _Model:
    """The programme's columns (y, u, m, s, g, z in this order), rows and objective."""

    def __init__(self, instance: Instance) -> None:
        problem = instance.problem
        N, D, C = problem.n_experts, problem.n_devices, problem.n_categories
        deployed = instance.deployed
        sizes = 0 if deployed or np.ptp(problem.aggregation_s[1:]) == 0 else N
        self.y = np.arange(N)
        self.u = N + np.arange(D)
        self.m = N + D + np.arange(C * N).reshape(C, N)
        self.s = N + D + C * N + np.arange(sizes)
        self.g = N + D + C * N + sizes + np.arange(len(problem.group_gb))
        first = N + D + C * N + sizes + len(self.g)
        q, weight, category = _collapse(instance)
        z = first + np.arange(q.size).reshape(q.shape)
        width = first + q.size
        self.gain = np.zeros(width)
        self.gain[z.ravel()] = (q * weight[:, None]).ravel()
        self.integral = (np.arange(width) < first).astype(np.uint8)
        self.least, self.most = np.zeros(width), np.ones(width)
        self.least[self.y[problem.required]] = 1.0
        self.most[self.y[problem.excluded]] = 0.0
        self.rows = rows = _Rows()
        for row in z:
            rows.add(row, 1.0, 1.0, 1.0)
        open_ = self.m if deployed else np.broadcast_to(self.y, (C, N))
        rows.pairs(z.ravel(), open_[category].ravel())
        rows.add(self.y, 1.0, float(min(problem.max_experts, N)))
        member = np.flatnonzero(problem.memory_group >= 0)
        rows.pairs(self.y[member], self.g[problem.memory_group[member]])
        for d in range(D):
            here = np.flatnonzero(problem.device == d)
            shared = np.flatnonzero(problem.group_device == d)
            load = np.append(problem.memory_gb[here], problem.group_gb[shared])
            if np.isfinite(instance.memory_limit[d]) and load.any():
                self._limit(np.append(self.y[here], self.g[shared]), load, instance.memory_limit[d])
        for b in np.unique(problem.box):
            settings = np.flatnonzero(problem.box == b)
            if len(settings) > 1:
                rows.add(self.u[settings], 1.0, 1.0)
        rows.pairs(self.y, self.u[problem.device])
        if deployed:
            self._masks(instance)
        else:
            self._everybody(instance)

    def _limit(self, columns: NDArray[np.intp], cost: FloatArray, limit: float) -> None:
        """Σ cost · x ≤ limit, divided by the limit, so that HiGHS's tolerance is a share of it."""
        scale = limit if limit > 0 else max(float(np.abs(cost).max()), 1e-300)
        self.rows.add(columns, cost / scale, limit / scale)

    def _masks(self, instance: Instance) -> None:
        problem, idle = instance.problem, instance.problem.idle_per_query_j
        self.most[self.m[~instance.quick]] = 0.0
        self.rows.pairs(self.m.ravel(), np.broadcast_to(self.y, self.m.shape).ravel())
        for c, limit in enumerate(instance.energy_limit):
            if not np.isfinite(limit):
                continue
            for j in np.flatnonzero(instance.quick[c]):
                left = limit - problem.energy_j[c, j]
                over = float(idle.sum()) - left
                if left < 0:
                    self.most[self.m[c, j]] = 0.0
                elif over > 0:
                    # Σ idle u + over · m ≤ idle.sum(): with m = 0 it says nothing, with m = 1 that idle ≤ left.
                    columns = np.append(self.u, self.m[c, j])
                    self._limit(columns, np.append(idle, over), float(idle.sum()))

    def _everybody(self, instance: Instance) -> None:
        problem = instance.problem
        for c, limit in enumerate(instance.energy_limit):
            if np.isfinite(limit):
                self._limit(self.y, problem.energy_j[c], limit)
        slack = instance.latency_limit[:, None] - problem.latency_s
        if not len(self.s):
            self.most[self.y[(slack < problem.aggregation_s[1]).any(axis=0)]] = 0.0
            return
        count = np.arange(1, len(self.s) + 1, dtype=np.float64)
        self.rows.add(self.s, 1.0, 1.0, 1.0)
        self.rows.add(np.append(self.y, self.s), np.append(np.ones(len(self.y)), -count), 0.0, 0.0)
        for j in self.y:
            late = (slack[:, j, None] < problem.aggregation_s[None, 1:]).any(axis=0)
            if late.any():
                columns = np.append(self.s[late], j)
                self.rows.add(columns, 1.0, 1.0)

    def forbid(self, mask: BoolArray) -> None:
        """At least one expert must differ from this subset."""
        self.rows.add(self.y, np.where(mask, 1.0, -1.0), float(mask.sum()) - 1.0)


def _collapse(instance: Instance) -> tuple[FloatArray, FloatArray, NDArray[np.intp]]:
    """Query rows [r, N], their weights, summing to 1, and categories; equal rows are one."""
    problem = instance.problem
    utility = problem.utility
    q, category = utility.preference, problem.category
    group = groups_of_equal(category, q)
    first = np.unique(group, return_index=True)[1]
    weight = np.bincount(group, utility.weight, len(first)) / utility.weight.sum()
    return q[first], weight, category[first]
