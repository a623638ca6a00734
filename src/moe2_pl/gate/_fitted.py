"""The registry of what can stand beside a network."""

from typing import Any

from moe2_pl.errors import UnknownNameError
from moe2_pl.gate._forest import Forest
from moe2_pl.gate._neighbours import Neighbours
from moe2_pl.gate._tables import Tables

__all__ = ["FITTED", "build_fitted"]

FITTED: dict[str, type[Tables]] = {kind.name: kind for kind in (Forest, Neighbours)}


def build_fitted(name: str = "forest", **options: Any) -> Tables:
    """The tables called ``name``, still empty.

    Raises:
        UnknownNameError, ConfigError: a name or an option that does not exist, or its value.
    """
    if name not in FITTED:
        raise UnknownNameError("gate.fitted", name, FITTED)
    return FITTED[name](**options)
