"""Choosing the subset: problems, utilities, budgets, solvers, sweep and verification.

Read `SelectionProblem` for the problem, `solve` for how to call, and `_solvers/_monotonic` for the algorithm.
Needs numpy and scipy only.
"""

from moe2_pl.selection._infeasible import (
    BudgetRange,
    CategoryRequirement,
    Infeasibility,
    OneLimit,
    budget_range,
    explain_infeasible,
)
from moe2_pl.selection._next_step import Step, next_step
from moe2_pl.selection._problem._budget import FEASIBILITY_TOLERANCE, Budget, rounded_up
from moe2_pl.selection._problem._problem import SelectionProblem
from moe2_pl.selection._problem._utilities import FacilityLocation, MixtureLikelihood, TopK, Utility
from moe2_pl.selection._queueing import LoadPrices, load_prices, simulated_waiting_s
from moe2_pl.selection._solution import Solution
from moe2_pl.selection._solve import solve
from moe2_pl.selection._solvers._registry import SOLVERS
from moe2_pl.selection._solvers._search import Progress, SearchOptions
from moe2_pl.selection._sweep._sweep import sweep
from moe2_pl.selection._verify import Verification, verify

__all__ = [
    "FEASIBILITY_TOLERANCE",
    "SOLVERS",
    "Budget",
    "BudgetRange",
    "CategoryRequirement",
    "FacilityLocation",
    "Infeasibility",
    "LoadPrices",
    "MixtureLikelihood",
    "OneLimit",
    "Progress",
    "SearchOptions",
    "SelectionProblem",
    "Solution",
    "Step",
    "TopK",
    "Utility",
    "Verification",
    "budget_range",
    "explain_infeasible",
    "load_prices",
    "next_step",
    "rounded_up",
    "simulated_waiting_s",
    "solve",
    "sweep",
    "verify",
]
