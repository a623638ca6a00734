"""The preservation certificate as a figure and as one line."""

from typing import TYPE_CHECKING

import plotly.graph_objects as go  # type: ignore[import-untyped]

from moe2_pl.planning import Results
from moe2_pl.report._format import certificate_text, listing, signed
from moe2_pl.report._panel import MOE2, QUIET, Panel, Router, figure, plain

if TYPE_CHECKING:
    from moe2_pl.certificate import Certificate, RegretRow

__all__ = ["certificate_panel"]

_BEST = Router("best gate of any objective", MOE2.colour, "circle")
_SAME = Router("gate of the same recipe", QUIET, "diamond-open")


def certificate_panel(data: Results) -> Panel:
    """Regret of the reused gate on each measured subset, with its interval."""
    title = "Preservation: what not retraining costs"
    found = data.certificate
    if found is None:
        return Panel(
            "certificate",
            title,
            "Not measured (certificate=off): that the gate is near-optimal on these subsets is theory, not a test.",
            None,
        )
    if not found.rows:
        return Panel("certificate", title, certificate_text(found), None)
    caption = (
        f"{certificate_text(found)} Regret is the held-out score of gates retrained on the subset alone, less the "
        "score of the one gate that was trained once; left of zero, not retraining is better. Bars are paired "
        f"bootstrap 95 % intervals over {found.rows[0].queries:,} queries."
    )
    return Panel("certificate", title, caption, _figure(found))


def _figure(found: "Certificate") -> go.Figure:
    rows = sorted(found.rows, key=lambda row: (row.kind, -row.regret))
    places = list(range(len(rows)))
    traces = [
        _marks(rows, [p + shift for p in places], router, same)
        for router, shift, same in ((_BEST, -0.13, False), (_SAME, 0.13, True))
    ]
    return figure(
        traces,
        height=140 + 34 * len(rows),
        xaxis={
            "title": {"text": "regret (score)"},
            "zeroline": True,
            "zerolinecolor": QUIET,
            "zerolinewidth": 2,
        },
        yaxis={
            "tickvals": places,
            "ticktext": [_name(row) for row in rows],
            "range": [len(rows) - 0.4, -0.6],
            "zeroline": False,
        },
    )


def _marks(rows: "list[RegretRow]", places: list[float], router: Router, same: bool) -> go.Scatter:
    ends = [(r.same_regret, r.same_low, r.same_high) if same else (r.regret, r.low, r.high) for r in rows]
    return go.Scatter(
        x=[at for at, _, _ in ends],
        y=places,
        mode="markers",
        name=router.name,
        marker={"color": router.colour, "symbol": router.symbol, "size": 10},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - at for at, _, high in ends],
            "arrayminus": [at - low for at, low, _ in ends],
            "color": router.colour,
            "thickness": 1.5,
        },
        hovertext=[
            f"<b>{signed(at)}</b> ({signed(low)} to {signed(high)})<br>{router.name}"
            + ("" if same else f": {row.objective}")
            + f"<br>{plain(listing(row.experts))}"
            for row, (at, low, high) in zip(rows, ends, strict=True)
        ],
        hoverinfo="text",
    )


def _name(row: "RegretRow") -> str:
    count = f"{len(row.experts)} experts"
    return f"{plain(row.label)}: {count}" if row.kind == "frontier" else f"random {row.label}: {count}"
