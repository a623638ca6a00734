"""Routing as a flow: from the categories over the experts to the devices."""

from collections import defaultdict

import plotly.graph_objects as go  # type: ignore[import-untyped]

from moe2_pl.planning import Results
from moe2_pl.report._panel import INK, MOE2, OVERLOAD, QUIET, figure, plain

__all__ = ["routing_flow"]

Node = tuple[str, str]  # (kind, name): an expert may be called as its device is

_FLOW = "rgba(31,122,209,0.25)"


def routing_flow(data: Results) -> go.Figure | None:
    """A Sankey diagram of the chosen deployment's held-out queries; None where nothing is deployed.

    A band's width is a number of queries. Devices with ρ ≥ 1 stand out.
    """
    row = data.chosen
    if not row.categories:
        return None
    device = {name: str(data.experts[name]["device"]) for part in row.categories for name in part.shares}
    width: dict[tuple[Node, Node], float] = defaultdict(float)
    for part in row.categories:
        for expert, share in part.shares.items():
            if share > 0:
                answered = share * part.queries
                width[("category", part.category), ("expert", expert)] += answered
                width[("expert", expert), ("device", device[expert])] += answered
    nodes = list(dict.fromkeys(node for link in width for node in link))
    place = {node: at for at, node in enumerate(nodes)}
    hot = {("device", name) for name in row.overloaded}
    colour = {"category": QUIET, "expert": MOE2.colour, "device": QUIET}
    flow = go.Sankey(
        node={
            "label": [plain(name) for _, name in nodes],
            "color": [OVERLOAD if node in hot else colour[node[0]] for node in nodes],
            "pad": 14,
            "thickness": 14,
        },
        link={
            "source": [place[source] for source, _ in width],
            "target": [place[target] for _, target in width],
            "value": list(width.values()),
            "color": _FLOW,
        },
        valueformat=",.0f",
        valuesuffix=" queries",
        textfont={"color": INK},
    )
    return figure([flow], height=120 + 46 * max(len(device), len(row.categories)))
