"""The solvers side by side on the same instances: python benchmarks/selection.py active (or another part).

active    N experts that all answer, n = 1000 queries, at 10, 25 and 50 % of the energy of all
deployed  devices with idle power, 3 to 6 experts each, 14 categories, binding memory
jetson    a gate's problem on jetson_mix: nine experts, five devices, four categories, 916 queries
fleet     the same gate's on jetson_mix_fleet: 40 placements, power modes that exclude each other, memory that binds
sweep     20 × 20 budgets, N = 20, n = 2000: active against all subset values computed once and filtered
          per budget; deployed against 400 single solves
growth    monotonic's time and nodes against N, n and tightness (--html: a figure)
"""

import argparse
import csv
import functools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from moe2_pl.errors import ConfigError
from moe2_pl.selection import (
    Budget,
    FacilityLocation,
    SelectionProblem,
    Solution,
    budget_range,
    solve,
    sweep,
    verify,
)

Instance = tuple[str, SelectionProblem, Budget]
TIGHTNESS = (0.10, 0.25, 0.50)
PEERS = ("polyblock", "exhaustive", "milp", "greedy", "random", "nsga2")
LARGEST = {"exhaustive": 16, "polyblock": 24}


def competences(rng: np.random.Generator, n: int, N: int, kind: str) -> NDArray[np.float64]:
    """q [n, N]: ``latent`` has skills, abilities and difficulties; ``uniform`` has no structure to use."""
    if kind == "uniform":
        return rng.random((n, N))
    skills, topics = rng.normal(size=(N, 6)), rng.normal(size=(n, 6))
    logits = 0.8 * topics @ skills.T + rng.normal(size=N) - rng.normal(size=(n, 1))
    return 1 / (1 + np.exp(-logits))


def active_problem(N: int, kind: str, n: int = 1000, seed: int = 0) -> SelectionProblem:
    rng = np.random.default_rng([seed, N, n])
    q = competences(rng, n, N, kind)
    # Costs that spread over decades make choices easy; without structure they are all alike.
    energy_j = rng.uniform(5, 10, N) if kind == "uniform" else np.exp(rng.normal(size=N)) * (0.5 + q.mean(0))
    return SelectionProblem(
        FacilityLocation(q), energy_j=energy_j, latency_s=rng.uniform(1, 5, N), energy_model="active"
    )


def share_of_energy(problem: SelectionProblem, share: float) -> Budget:
    return Budget(energy_j=share * float(problem.energy_j[0].sum()))


def active(sizes: list[int], kinds: list[str]) -> Iterator[Instance]:
    for kind in kinds:
        for N in sizes:
            problem = active_problem(N, kind)
            for share in TIGHTNESS:
                yield f"{kind} N={N} {share:.0%}", problem, share_of_energy(problem, share)


def deployed_problem(D: int, n: int = 1000, categories: int = 14, seed: int = 0) -> SelectionProblem:
    rng = np.random.default_rng([seed, D, n])
    device = np.repeat(np.arange(D), rng.integers(3, 7, D))
    N = len(device)
    q = competences(rng, n, N, "latent")
    memory = rng.uniform(4, 40, N)
    return SelectionProblem(
        FacilityLocation(q),
        energy_j=rng.uniform(20, 400, (categories, N)) * (0.5 + q.mean(0)),
        latency_s=rng.uniform(0.5, 20, (categories, N)),
        category=rng.integers(0, categories, n),
        categories=[f"category {c}" for c in range(categories)],
        device=device,
        idle_w=rng.uniform(8, 40, D),
        queries_per_s=0.2,
        memory_gb=memory,
        device_memory_gb=0.6 * np.bincount(device, memory),
        energy_model="deployed",
    )


def deployed(sizes: list[int]) -> Iterator[Instance]:
    for D in sizes:
        problem = deployed_problem(D)
        for share in TIGHTNESS:
            energy_j = share * float(problem.idle_per_query_j.sum()) + 200
            yield f"{D} devices {share:.0%}", problem, Budget(energy_j=energy_j, latency_s=12)


def jetson_problem(pool: str) -> SelectionProblem:
    """What train.py plans with: a gate's competences on the validation queries of a pool."""
    from main_job import configuration, fit, setting_of

    config = configuration("gate=mlp", f"expert_pool={pool}")
    setting = setting_of(config, 0)
    rows = setting.data.split.validation
    q = setting.pool.expand(fit(config, setting.data, 0).predict(setting.data.features(rows)).numpy())
    return setting.planner.problem(FacilityLocation(q), setting.outputs.category[rows])


def jetson(pool: str) -> Iterator[Instance]:
    problem = jetson_problem(pool)
    limits = budget_range(problem)
    for share in TIGHTNESS:
        low, high = np.log(limits.energy_j), np.log(limits.latency_s)
        yield (
            f"{pool} {share:.0%}",
            problem,
            Budget(
                energy_j=float(np.exp(low[0] + share * (low[1] - low[0]))),
                latency_s=float(np.exp(high[0] + max(share, 0.5) * (high[1] - high[0]))),
            ),
        )


def compare(instances: Iterator[Instance], limit_s: float, peer_limit_s: float) -> list[dict[str, object]]:
    """One row per instance and solver, printed as they come."""
    rows: list[dict[str, object]] = []
    print(
        "| instance | solver | time | value | gap | status | nodes |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for name, problem, budget in instances:
        best = solve(problem, budget, "monotonic", limit_s)
        rows.append(row(name, "monotonic", best, problem, budget))
        for solver in PEERS:
            if problem.n_experts > LARGEST.get(solver, sys.maxsize):
                continue
            # NSGA-II gets ten times monotonic's time, and never less than a second to import itself in.
            seconds = min(max(10 * best.wall_s, 1.0), peer_limit_s) if solver == "nsga2" else peer_limit_s
            nodes = {"node_limit": 10**9} if solver == "nsga2" else {}
            try:
                found = solve(problem, budget, solver, seconds, **nodes)
            except ConfigError:  # the solver is for another energy model
                continue
            rows.append(row(name, solver, found, problem, budget))
            if found.value > best.value + 1e-9 * max(1, abs(best.value)):
                print(f"  !! {solver} is better by {found.value - best.value:.2e}")
    return rows


def row(
    name: str, solver: str, found: Solution, problem: SelectionProblem, budget: Budget
) -> dict[str, object]:
    if found.experts and not verify(found, problem, budget):
        raise SystemExit(f"{name}: {solver}'s answer does not verify: {verify(found, problem, budget)}")
    gap = f"{found.gap_rel:.4%}" if np.isfinite(found.gap) else "none"
    print(
        f"| {name} | {solver} | {found.wall_s:.2f} s | {found.value:.6f} | {gap} | {found.status} | {found.nodes} |",
        flush=True,
    )
    return {
        "instance": name,
        "solver": solver,
        "seconds": found.wall_s,
        "value": found.value,
        "bound": found.bound,
        "gap_rel": found.gap_rel,
        "status": found.status,
        "nodes": found.nodes,
    }


def grid(problem: SelectionProblem, points: int = 20) -> list[Budget]:
    limits = budget_range(problem)
    return [
        Budget(energy_j=float(e), latency_s=float(s))
        for e in np.geomspace(*limits.energy_j, points)
        for s in np.geomspace(*limits.latency_s, points)
    ]


def all_subsets_once(problem: SelectionProblem, budgets: list[Budget]) -> list[float]:
    """Every subset's value, energy and latency once (``active``, one category), then a filter per budget."""
    q = np.ascontiguousarray(problem.utility.preference.T, dtype=np.float32)
    energy_j, latency_s = problem.energy_j[0], problem.latency_s[0]
    half = len(q) // 2

    def table(part: NDArray[np.floating], start: float, join: np.ufunc) -> NDArray[np.floating]:
        out = np.full((1 << len(part), *part.shape[1:]), start, dtype=part.dtype)
        for j, item in enumerate(part):
            out[1 << j : 2 << j] = join(out[: 1 << j], item)
        return out

    low, high = table(q[:half], -np.inf, np.maximum), table(q[half:], -np.inf, np.maximum)
    values = np.concatenate([np.maximum(low, row).mean(axis=1) for row in high])
    energy = np.add.outer(table(energy_j[half:], 0, np.add), table(energy_j[:half], 0, np.add)).ravel()
    latency = np.maximum.outer(
        table(latency_s[half:], 0, np.maximum), table(latency_s[:half], 0, np.maximum)
    ).ravel()
    found = []
    for budget in budgets:
        fits = (energy <= budget.energy_j * (1 + 1e-9)) & (latency <= budget.latency_s * (1 + 1e-9))
        found.append(float(values[fits].max()))
    return found


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def sweeps(repeats: int = 3) -> None:
    for kind in ("latent", "uniform"):
        problem = active_problem(20, kind, n=2000)
        budgets = grid(problem)
        pairs = []
        for _ in range(repeats):
            mine, plans = timed(functools.partial(sweep, problem, budgets))
            theirs, values = timed(functools.partial(all_subsets_once, problem, budgets))
            pairs.append((mine, theirs))
            worst = max(0.0 if p.value == v else abs(p.value - v) for p, v in zip(plans, values, strict=True))
        proven = all(p.proven for p in plans)
        print(f"active {kind}, 400 budgets: all proven {proven}, largest difference {worst:.1e} (float32)")
        report(pairs, "all subsets once")
    rng = np.random.default_rng(0)
    device = np.arange(20) % 6
    base = active_problem(20, "latent", n=2000)
    problem = SelectionProblem(
        base.utility,
        energy_j=rng.uniform(20, 400, (4, 20)),
        latency_s=rng.uniform(0.5, 20, (4, 20)),
        category=rng.integers(0, 4, 2000),
        device=device,
        idle_w=rng.uniform(8, 40, 6),
        queries_per_s=0.2,
        memory_gb=(memory := rng.uniform(4, 40, 20)),
        device_memory_gb=0.7 * np.bincount(device, memory),
    )
    budgets = grid(problem)
    pairs = []
    for _ in range(repeats):
        mine, plans = timed(functools.partial(sweep, problem, budgets))
        theirs, singles = timed(lambda: [solve(problem, b) for b in budgets])
        pairs.append((mine, theirs))
    same = all(
        a.status == b.status and (a.value == b.value or abs(a.value - b.value) < 1e-9)
        for a, b in zip(plans, singles, strict=True)
    )
    print(f"deployed, 400 budgets: same statuses and values as single solves {same}")
    report(pairs, "400 single solves")


def report(pairs: list[tuple[float, float]], other: str) -> None:
    mine, theirs = np.median(pairs, axis=0)
    ratio = np.median([b / a for a, b in pairs])
    print(
        f"  sweep {mine:.2f} s, {other} {theirs:.2f} s: {ratio:.1f} times faster (median of {len(pairs)} pairs)"
    )


def growth(html: Path | None, limit_s: float) -> None:
    axes = {
        "experts N (n = 1000, 25 %)": ((N, 1000, 0.25) for N in (16, 32, 48, 64, 100, 200)),
        "queries n (N = 48, 25 %)": ((48, n, 0.25) for n in (125, 250, 500, 1000, 2000, 4000)),
        "share of energy (N = 48, n = 1000)": ((48, 1000, s) for s in (0.03, 0.05, 0.1, 0.25, 0.5, 0.75)),
    }
    figure = make_subplots(2, 3, vertical_spacing=0.12)
    print("| axis | kind | at | seconds | nodes | gap |\n| --- | --- | --- | --- | --- | --- |")
    for column, (axis, points) in enumerate(axes.items(), start=1):
        cells = list(points)
        which = 0 if "N (" in axis else 1 if "n (" in axis else 2
        for kind, colour in (("latent", "#1f77b4"), ("uniform", "#d62728")):
            # Without structure a proof at N = 100 takes hours; the figure shows where that begins.
            mine = [c for c in cells if kind == "latent" or c[0] <= 64]
            plans = []
            for N, n, share in mine:
                problem = active_problem(N, kind, n)
                plans.append(solve(problem, share_of_energy(problem, share), time_limit_s=limit_s))
                at = (N, n, share)[which]
                last = plans[-1]
                print(
                    f"| {axis} | {kind} | {at} | {last.wall_s:.2f} | {last.nodes} | {last.gap_rel:.3%} |",
                    flush=True,
                )
            x = [c[which] for c in mine]
            for place, y in ((1, [p.wall_s for p in plans]), (2, [p.nodes for p in plans])):
                figure.add_scatter(
                    x=x,
                    y=y,
                    name=kind,
                    marker_color=colour,
                    showlegend=place == column == 1,
                    row=place,
                    col=column,
                )
        for place, title in ((1, "seconds"), (2, "nodes")):
            figure.update_xaxes(type="log", title=axis if place == 2 else None, row=place, col=column)
            figure.update_yaxes(type="log", title=title if column == 1 else None, row=place, col=column)
    figure.update_layout(template="plotly_white", width=1200, height=640, margin={"t": 30, "r": 20})
    if html is not None:
        figure.write_html(html)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("active", "deployed", "jetson", "fleet", "sweep", "growth"))
    parser.add_argument("--sizes", type=int, nargs="+", help="N for active, devices for deployed")
    parser.add_argument("--kinds", nargs="+", default=["latent", "uniform"], choices=("latent", "uniform"))
    parser.add_argument("--limit-s", type=float, default=60, help="monotonic's, per instance")
    parser.add_argument("--peer-limit-s", type=float, default=60, help="each peer's, per instance")
    parser.add_argument("--csv", type=Path, help="write the rows there")
    parser.add_argument("--html", type=Path, help="write growth's figure there")
    options = parser.parse_args()
    if options.part == "sweep":
        sweeps()
        return
    if options.part == "growth":
        growth(options.html, options.limit_s)
        return
    instances = {
        "active": lambda: active(options.sizes or [16, 24, 32, 48, 64, 100, 200], options.kinds),
        "deployed": lambda: deployed(options.sizes or [10, 20, 40]),
        "jetson": lambda: jetson("jetson_mix"),
        "fleet": lambda: jetson("jetson_mix_fleet"),
    }[options.part]()
    rows = compare(instances, options.limit_s, options.peer_limit_s)
    if options.csv is not None:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
