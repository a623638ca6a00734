"""What every search shares: its limits, its incumbent, and when a gap counts as closed.

A `Search` is the mutable record of one run; solvers update it and return nothing else, so that a
run which is cut short (time, nodes, Ctrl-C) still leaves a valid incumbent and bound behind.
"""

import sys
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import ConfigError
from moe2_pl.selection._problem._instance import Instance

if TYPE_CHECKING:
    from moe2_pl.selection._problem._problem import SelectionProblem

__all__ = ["GAP_TOLERANCE", "Progress", "Search", "SearchOptions", "closed"]

GAP_TOLERANCE = 1e-9

BoolArray = NDArray[np.bool_]


def closed(value: float, bound: float) -> bool:
    """Whether gap = bound − value is within 1e-9 · max(1, |bound|); an infinite bound proves nothing.

    Example:
        >>> closed(0.5, 0.5 + 1e-10), closed(0.5, 0.51), closed(0.5, float("inf"))
        (True, False, False)
    """
    return bool(bound <= value or (bound < np.inf and bound - value <= GAP_TOLERANCE * max(1.0, abs(bound))))


@dataclass(frozen=True)
class Progress:
    """A search's state, given to the ``progress`` callback from time to time.

    Attributes:
        nodes: looked at so far.
        value: of the incumbent; −inf while there is none.
        bound: no subset is worth more.
        elapsed_s: since the start.
    """

    nodes: int
    value: float
    bound: float
    elapsed_s: float

    @property
    def gap(self) -> float:
        """bound − value."""
        return self.bound - self.value

    def __str__(self) -> str:
        head = f"{self.elapsed_s:6.1f} s  {self.nodes:8d} nodes"
        return f"{head}  value {self.value:.6f}  bound {self.bound:.6f}  gap {self.gap:.2e}"


@dataclass(frozen=True)
class SearchOptions:
    """Limits and choices of one run.

    Args:
        time_limit_s: seconds after which the incumbent is returned with its bound.
        node_limit: nodes after which it is; a run limited by nodes alone is deterministic.
        seed: for solvers that draw random numbers.
        memory_limit_mb: what a best-first queue may take before the search goes depth-first.
        merge_tolerance: queries of one category whose utility rows differ by no more are searched as
            one; what that can change is added to the gap, so an answer is rarely `optimal`.
        epsilon: for `MixtureLikelihood`: bound by the union of experts widened by measured violations of
            monotonicity. Faster; not rigorous, so the status is ``epsilon`` and never proven.
        progress: called with a `Progress`, True for a line on stderr, or None.
        progress_every_s: seconds between two of those.
    """

    time_limit_s: float = 60.0
    node_limit: int | None = None
    seed: int = 0
    memory_limit_mb: float = 512.0
    merge_tolerance: float = 0.0
    epsilon: bool = False
    progress: Callable[[Progress], None] | bool | None = None
    progress_every_s: float = 2.0

    def __post_init__(self) -> None:
        for name in ("time_limit_s", "memory_limit_mb"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} = {getattr(self, name)}: a number > 0 is needed")
        if self.node_limit is not None and self.node_limit < 1:
            raise ConfigError(f"node_limit = {self.node_limit}: a whole number ≥ 1 is needed")


class Search:
    """The incumbent, the bound and the limits of one run on one instance.

    Attributes:
        value: of the incumbent; −inf while there is none.
        mask: the incumbent, bool [N].
        bound: the least proven upper bound so far; finite from the start, −inf when nothing is feasible.
        root: multipliers to start the root's bound from, and after the search those it ended with.
        nodes: how many the search has looked at.
        stopped: whether a limit or Ctrl-C cut the search short.
        violation: in the ε-mode, by how much the union bound is widened; None when bounds are rigorous.

    Raises:
        ConfigError: the ε-mode for a utility whose bounds are rigorous and as fast.
    """

    def __init__(
        self,
        instance: Instance,
        options: SearchOptions,
        *,
        bound: float = np.inf,
        root: tuple[NDArray[np.float32], NDArray[np.float64]] | None = None,
    ) -> None:
        self.instance = instance
        self.options = options
        self.value = -np.inf
        self.mask: BoolArray = np.zeros(instance.problem.n_experts, dtype=bool)
        self.bound = min(bound, instance.ceiling())
        self.nodes = 0
        self.root: tuple[NDArray[np.float32], NDArray[np.float64]] | None = root
        self.stopped = False
        self.started = time.perf_counter()
        self._reported = self.started
        self.violation: float | None = None
        if options.epsilon:
            if instance.evaluator.monotone:
                raise ConfigError("epsilon = True: only MixtureLikelihood has an ε-mode; False is needed")
            self.violation = instance.evaluator.violation(options.seed)

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self.started

    def offer(self, mask: BoolArray) -> float:
        """Evaluate a subset and keep it if it is feasible and better; returns its value.

        Of equal values the one with fewer joules, then fewer experts, then the first names is kept.
        """
        value = self.instance.value(mask)
        if value > self.value or (value == self.value > -np.inf and self._tidier(mask)):
            self.value, self.mask = value, mask.copy()
        return value

    def _tidier(self, mask: BoolArray) -> bool:
        def key(candidate: BoolArray) -> tuple[float, int, list[str]]:
            names = self.instance.problem.names(candidate)
            return self.instance.joules(candidate), len(names), sorted(names)

        return bool((mask != self.mask).any() and key(mask) < key(self.mask))

    def upper(self, chosen: BoolArray, possible: BoolArray) -> float:
        """The bound of a box: no masks between chosen and possible, [C, N], are worth more (or seem to be)."""
        evaluator = self.instance.evaluator
        if self.violation is None:
            return evaluator.bound(chosen, possible)
        return evaluator.value(possible) + self.violation

    def on(self, problem: "SelectionProblem", error: float) -> "Search":
        """This search's outcome on a problem whose values differ from this one's by at most ``error``."""
        other = copy(self)
        other.instance = problem.at(self.instance.budget)
        other.value = other.instance.value(self.mask) if self.value > -np.inf else -np.inf
        other.bound = max(min(self.bound + error, other.instance.ceiling()), other.value)
        return other

    def hopeless(self, bound: float) -> bool:
        """Whether a node with this bound cannot improve the incumbent by more than the tolerance."""
        return self.value > -np.inf and closed(self.value, bound)

    def lower_bound_to(self, bound: float) -> None:
        """Record a proven upper bound on the optimum (never below the incumbent's value)."""
        self.bound = max(min(self.bound, bound), self.value)

    def tick(self) -> bool:
        """Count one node, report if it is time; True when the search must stop."""
        self.nodes += 1
        limit = self.options.node_limit
        if limit is not None and self.nodes >= limit:
            self.stopped = True
        return self.expired()

    def expired(self) -> bool:
        """Report if it is time; True when the search must stop. For long steps inside a node."""
        now = time.perf_counter()
        if now - self._reported >= self.options.progress_every_s:
            self._reported = now
            self._report(now)
        if now - self.started > self.options.time_limit_s:
            self.stopped = True
        return self.stopped

    def _report(self, now: float) -> None:
        state = Progress(self.nodes, self.value, self.bound, now - self.started)
        if callable(self.options.progress):
            self.options.progress(state)
        elif self.options.progress:
            print(state, file=sys.stderr)
