"""From a gate, a pool and outputs to results: plan every budget on validation queries, realise it on held-out ones.

No Hydra, and no files but the certificate's cache. Whoever calls hands in what shows progress.
Importing this room is cheap: torch is loaded when something that needs it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from moe2_pl.planning._progress import not_lost
from moe2_pl.planning._results import (
    BaselineRow,
    CategoryRow,
    ContrastRow,
    FrontierRow,
    LoadRow,
    PartRow,
    Results,
    StepRow,
    SummaryRow,
)

if TYPE_CHECKING:
    from moe2_pl.planning._certificate import CertificateOptions, certificate_options
    from moe2_pl.planning._evaluate import evaluate, results_of
    from moe2_pl.planning._inputs import Inputs, prepare

__all__ = [
    "BaselineRow",
    "CategoryRow",
    "CertificateOptions",
    "ContrastRow",
    "FrontierRow",
    "Inputs",
    "LoadRow",
    "PartRow",
    "Results",
    "StepRow",
    "SummaryRow",
    "certificate_options",
    "evaluate",
    "not_lost",
    "prepare",
    "results_of",
]

_HOME = {
    "CertificateOptions": "_certificate",
    "Inputs": "_inputs",
    "certificate_options": "_certificate",
    "evaluate": "_evaluate",
    "prepare": "_inputs",
    "results_of": "_evaluate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
