"""The figures of docs/concepts, as SVG in docs/images: python benchmarks/figures.py.

problem       all subsets of jetson_mix and the frontier; trains a gate first, some ten seconds
preservation  regret, from docs/data/certificate_jetson_mix.csv
solver        value and bound of one search
costs         predicted against published speeds, from docs/data/published_speeds.csv
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from costs import catalogue, groups, judged
from moe2_pl.selection import Budget, Progress, solve, sweep
from selection import active_problem, jetson_problem

DOCS = Path(__file__).parents[1] / "docs"
INK, BLUE, ORANGE, GREEN, QUIET = "#24292f", "#1f7ad1", "#d9700b", "#0a9a74", "#8a929c"
# The same bytes from the same data.
mpl.rcParams.update({"svg.hashsalt": "moe2-pl", "font.size": 10, "axes.edgecolor": QUIET})


def axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="#e6e8eb", linewidth=0.8)
    ax.set_axisbelow(True)
    return figure, ax


def problem() -> Figure:
    """Every subset S at idle(S) plus its dearest expert and category: from there on all of S may be used."""
    p = jetson_problem("jetson_mix")
    N = len(p.experts)
    best: dict[int, Any] = {0: -np.inf}
    energy_j, value = [], []
    for code in range(1, 2**N):
        S = [j for j in range(N) if code >> j & 1]
        best[code] = np.maximum(best[code & (code - 1)], p.utility.q[:, S[0]])
        energy_j.append(p.idle_per_query_j[np.unique(p.device[S])].sum() + p.energy_j[:, S].max())
        value.append(best[code].mean())
    budgets = [Budget(energy_j=float(e)) for e in np.geomspace(min(energy_j) / 2, max(energy_j), 200)]
    line = [(b.energy_j, s.value) for b, s in zip(budgets, sweep(p, budgets), strict=True) if s.experts]
    figure, ax = axes(7.2, 3.9)
    ax.scatter(
        energy_j,
        value,
        s=10,
        color=QUIET,
        linewidth=0,
        label=f"one of {len(value)} subsets, all of it usable",
    )
    ax.step(
        *zip(*line, strict=True),
        where="post",
        color=BLUE,
        linewidth=2,
        label="frontier: what the solver returns",
    )
    ax.set(xlabel="energy budget, J a query", ylabel="planned value", xscale="log")
    ax.set_xticks([200, 500, 1000, 2000, 4000], ["200", "500", "1,000", "2,000", "4,000"])
    ax.minorticks_off()
    ax.legend(frameon=False, loc="lower right")
    return figure


def preservation() -> Figure:
    with (DOCS / "data" / "certificate_jetson_mix.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: float(row["regret"]))
    figure, ax = axes(7.2, 4.8)
    for kind, colour, label in (("frontier", BLUE, "of the frontier"), ("random", QUIET, "random")):
        at = [(k, row) for k, row in enumerate(rows) if row["kind"] == kind]
        x = np.array([[float(row[key]) for key in ("low", "regret", "high")] for _, row in at]).T
        y = [k for k, _ in at]
        ax.hlines(y, x[0], x[2], color=colour, linewidth=1.4)
        ax.scatter(x[1], y, s=20, color=colour, label=f"{len(at)} subsets {label}", zorder=3)
    ax.axvline(0, color=INK, linewidth=1)
    ax.set(xlabel="regret: held-out score of retrained gates, less that of the one gate", yticks=[])
    ax.text(-0.001, len(rows) + 0.2, "the one gate is better", ha="right", color=INK)
    ax.text(0.001, len(rows) + 0.2, "retraining is better", ha="left", color=INK)
    ax.legend(frameon=False, loc="lower right")
    return figure


def solver() -> Figure:
    p = active_problem(32, "uniform")
    budget = Budget(energy_j=0.25 * float(p.energy_j.sum()))
    seen: list[Progress] = []
    solution = solve(p, budget, time_limit_s=120, progress=seen.append, progress_every_s=0.02)
    nodes = [s.nodes for s in seen if np.isfinite(s.value)] + [solution.nodes]
    value = [s.value for s in seen if np.isfinite(s.value)] + [solution.value]
    bound = [s.bound for s in seen if np.isfinite(s.value)] + [solution.bound]
    figure, ax = axes(7.2, 3.4)
    ax.fill_between(nodes, value, bound, color=BLUE, alpha=0.12, linewidth=0, label="gap")
    ax.plot(nodes, bound, color=ORANGE, linewidth=2, label="bound: no subset is worth more")
    ax.plot(nodes, value, color=BLUE, linewidth=2, label="value of the best subset found")
    ax.set(xlabel="nodes looked at", ylabel="planned value", xlim=(0, nodes[-1]))
    ax.legend(frameon=False)
    return figure


def costs() -> Figure:
    devices = catalogue()
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    what = {"prefill_s": "a prompt read", "decode_tok_s": "tokens written", "answer_tok_s": "whole answers"}
    for (name, _), group in groups().items():
        for point, predicted in judged(group, devices[name]):
            found[point.quantity].append((point.observation.seconds, predicted))
    figure, ax = axes(5.4, 4.6)
    ends = np.array(
        [min(s for v in found.values() for s, _ in v), max(s for v in found.values() for s, _ in v)]
    )
    ax.plot(ends, ends, color=INK, linewidth=1)
    ax.fill_between(
        ends, ends / 1.25, ends * 1.25, color=QUIET, alpha=0.2, linewidth=0, label="within a fourth"
    )
    for (key, label), colour in zip(what.items(), (BLUE, ORANGE, GREEN), strict=True):
        ax.scatter(*zip(*found[key], strict=True), s=22, color=colour, linewidth=0, label=label, zorder=3)
    ax.set(xscale="log", yscale="log", xlabel="published, s", ylabel="predicted, s")
    ax.legend(frameon=False)
    return figure


FIGURES = {"problem": problem, "preservation": preservation, "solver": solver, "costs": costs}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=list(FIGURES), help="which of them; all by default")
    for name in parser.parse_args().names:
        figure = FIGURES[name]()
        figure.savefig(DOCS / "images" / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
