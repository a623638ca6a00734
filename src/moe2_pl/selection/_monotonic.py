"""The exact solver: branch, reduce and bound, by the search that suits the utility."""

from moe2_pl.selection._cover import CoverSearch
from moe2_pl.selection._evaluators import CoverEvaluator
from moe2_pl.selection._search import Search
from moe2_pl.selection._union import union_search

__all__ = ["monotonic"]

_GLANCE_NODES = 24


def monotonic(search: Search) -> None:
    """Run the search on the instance."""
    if not isinstance(search.instance.evaluator, CoverEvaluator):
        union_search(search)
    elif not union_search(search, _GLANCE_NODES):
        CoverSearch(search).run()
