"""The solvers by name. A new one is one file with a function of a `Search`, and one line here."""

from collections.abc import Callable
from dataclasses import dataclass

from moe2_pl.errors import UnknownNameError
from moe2_pl.selection._solvers._exhaustive import exhaustive
from moe2_pl.selection._solvers._greedy import greedy
from moe2_pl.selection._solvers._milp import milp
from moe2_pl.selection._solvers._monotonic._solver import monotonic
from moe2_pl.selection._solvers._nsga2 import nsga2
from moe2_pl.selection._solvers._polyblock import polyblock
from moe2_pl.selection._solvers._random import random
from moe2_pl.selection._solvers._search import Search

__all__ = ["SOLVERS", "Solver", "solver_named"]


@dataclass(frozen=True)
class Solver:
    """A search and what it promises.

    Attributes:
        run: looks at the instance and updates the `Search`.
        proves: whether the bound it leaves is valid.
    """

    run: Callable[[Search], None]
    proves: bool


SOLVERS: dict[str, Solver] = {
    "monotonic": Solver(monotonic, proves=True),
    "exhaustive": Solver(exhaustive, proves=True),
    "polyblock": Solver(polyblock, proves=True),
    "milp": Solver(milp, proves=True),
    "greedy": Solver(greedy, proves=False),
    "random": Solver(random, proves=False),
    "nsga2": Solver(nsga2, proves=False),
}


def solver_named(name: str) -> Solver:
    """The solver of that name.

    Raises:
        UnknownNameError: no solver has it.
    """
    if name not in SOLVERS:
        raise UnknownNameError("solver", name, SOLVERS)
    return SOLVERS[name]
