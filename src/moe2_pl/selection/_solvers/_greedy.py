"""The heuristic that anybody would write first: greedy by gain and by gain per cost, then swaps."""

from moe2_pl.selection._solvers._local import greedy_start
from moe2_pl.selection._solvers._search import Search

__all__ = ["greedy"]


def greedy(search: Search) -> None:
    """Offer the better of two greedy orders, each improved by swaps.

    One order takes the expert with the largest gain in value, the other the largest gain per share of the
    limits; for ``deployed`` both are repeated at several levels of idle energy, where masks are fixed.

    A guarantee holds in one case only: ``active``, a monotone submodular utility, one category and
    energy the only limit (one additive knapsack). There the better of the two orders is worth at least
    (1 − 1/√e) ≈ .39 of the optimum above the empty set's value (Khuller, Moss & Naor 1999; Krause &
    Guestrin 2005). With idle energy, memory or several limits nothing is claimed.
    """
    search.tick()
    greedy_start(search)
