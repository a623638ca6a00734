"""Where the search begins: a glance by the union bound, then what the utility needs."""

from moe2_pl.selection._problem._evaluators import CoverEvaluator
from moe2_pl.selection._solvers._monotonic._cover import CoverSearch
from moe2_pl.selection._solvers._monotonic._union import union_search
from moe2_pl.selection._solvers._search import Search

__all__ = ["monotonic"]

_GLANCE_NODES = 24


def monotonic(search: Search) -> None:
    """Run the search on the instance; small cover problems end within a few nodes by the union bound alone."""
    # What a glance finds is no substitute for the greedy subsets; another budget's answer is.
    fresh = not search.mask.any()
    if not isinstance(search.instance.evaluator, CoverEvaluator):
        union_search(search)
    elif not union_search(search, _GLANCE_NODES):
        CoverSearch(search).run(greedy=fresh)
