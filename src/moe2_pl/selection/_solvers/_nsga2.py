"""NSGA-II, the evolutionary algorithm that most users of multi-objective optimisation reach for (pymoo)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import ConfigError
from moe2_pl.selection._problem._instance import Instance
from moe2_pl.selection._solvers._search import Search

__all__ = ["nsga2"]

_POPULATION = 100
_GENERATIONS = 200

BoolArray = NDArray[np.bool_]


def nsga2(search: Search) -> None:
    """Evolve a population of subsets towards more value and fewer joules, within the limits.

    Deb, Pratap, Agarwal & Meyarivan (2002), as pymoo implements it: 100 bit strings, random sampling,
    two-point crossover, bit-flip mutation, duplicates removed, constraint violation first. It ends after
    ``node_limit`` subsets (20,000 where it is not given) or at the time limit. No bound.

    Raises:
        ConfigError: pymoo is not installed.
    """
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import Problem
        from pymoo.core.termination import NoTermination
        from pymoo.operators.crossover.pntx import TwoPointCrossover
        from pymoo.operators.mutation.bitflip import BitflipMutation
        from pymoo.operators.sampling.rnd import BinaryRandomSampling
    except ImportError as error:
        raise ConfigError(f"solver 'nsga2' needs pymoo: pip install 'moe2-pl[solvers]' ({error})") from error
    instance = search.instance
    free = np.flatnonzero(~instance.problem.required & ~instance.problem.excluded)
    if not len(free):
        search.offer(instance.problem.required)
        return
    subsets = Problem(n_var=len(free), n_obj=2, n_ieq_constr=1, xl=0, xu=1, vtype=bool)
    algorithm: Any = NSGA2(
        pop_size=_POPULATION,
        sampling=BinaryRandomSampling(),
        crossover=TwoPointCrossover(),
        mutation=BitflipMutation(),
        eliminate_duplicates=True,
    )
    algorithm.setup(subsets, termination=NoTermination(), seed=search.options.seed, verbose=False)
    left = search.options.node_limit or _POPULATION * _GENERATIONS
    while left > 0 and not search.stopped:
        population = algorithm.ask()
        if population is None or not len(population):  # every subset that variation can reach has been seen
            return
        objectives, violations = [], []
        for bits in population.get("X"):
            mask = instance.problem.required.copy()
            mask[free[np.asarray(bits, dtype=bool)]] = True
            value = search.offer(mask)
            feasible = value > -np.inf
            # Infeasible subsets are ranked by their violation alone; pymoo needs finite objectives.
            objectives.append((-value, instance.joules(mask)) if feasible else (0.0, 0.0))
            violations.append([0.0 if feasible else 1e-12 + violation(instance, mask)])
            search.tick()
        left -= len(population)
        population.set("F", np.array(objectives), "G", np.array(violations))
        for individual in population:
            individual.evaluated.update(("F", "G"))
        algorithm.tell(infills=population)


def violation(instance: Instance, mask: BoolArray) -> float:
    """How far a subset is from feasible, as a sum of shares of the limits; 0 where it is feasible."""
    problem = instance.problem
    if not mask.any():
        return float(problem.n_categories)
    room = np.maximum(instance.memory_limit, 1e-12)
    total = np.maximum(instance.load(mask) / room - 1, 0).sum()
    total += max(mask.sum() / problem.max_experts - 1, 0)
    on = instance.devices(mask)
    total += (instance.rivals(on) & on).sum()
    if instance.deployed:
        energy = instance.idle(instance.devices(mask)) + problem.energy_j[:, mask]
        over = _over(energy, instance.energy_limit[:, None]) + _over(
            problem.latency_s[:, mask], instance.latency_limit[:, None]
        )
        return float(total + over.min(axis=1).sum())
    latency = problem.latency_s[:, mask].max(axis=1) + problem.aggregation_s[int(mask.sum())]
    energy = problem.energy_j[:, mask].sum(axis=1)
    over = _over(energy, instance.energy_limit) + _over(latency, instance.latency_limit)
    return float(total + over.sum())


def _over(cost: NDArray[np.float64], limit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(cost / np.maximum(limit, 1e-12) - 1, 0.0))
