"""How figures read: one spelling of scores, joules, seconds, limits and ρ for the page, the terminal and W&B.

A figure that does not exist (NaN) reads as a dash, a limit that does not bind (inf) as ``none``.
"""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from moe2_pl.planning import FrontierRow, LoadRow, Results, StepRow

if TYPE_CHECKING:
    from moe2_pl.certificate import Certificate

__all__ = [
    "MISSING",
    "budget_text",
    "certificate_text",
    "change",
    "interval",
    "leaner_text",
    "limit",
    "listing",
    "load_now",
    "load_text",
    "percent",
    "quantity",
    "range_text",
    "rho",
    "running_text",
    "score",
    "signed",
    "signed_span",
    "status_text",
    "step_texts",
]

MISSING = "–"


def score(value: float) -> str:
    """A score in [0, 1].

    Example:
        >>> score(0.5944), score(float("nan"))
        ('0.594', '–')
    """
    return MISSING if math.isnan(value) else f"{value:.3f}"


def signed(value: float) -> str:
    """A difference of scores, with its sign.

    Example:
        >>> signed(0.0123), signed(-0.002), signed(-0.0001)
        ('+0.012', '−0.002', '±0.000')
    """
    if math.isnan(value):
        return MISSING
    digits = f"{abs(value):.3f}"
    sign = "±" if float(digits) == 0 else "+" if value > 0 else "−"
    return sign + digits


def signed_span(at: float, half_width: float) -> str:
    """The 95 % interval of a difference of scores.

    Example:
        >>> signed_span(-0.0406, 0.0133), signed_span(0.01, float("nan"))
        ('−0.054 to −0.027', '–')
    """
    if math.isnan(half_width):
        return MISSING
    return f"{signed(at - half_width)} to {signed(at + half_width)}"


def percent(share: float) -> str:
    """A share in whole percent; what rounds to nothing without being nothing is said so.

    Example:
        >>> percent(0.346), percent(0.002), percent(0.0)
        ('35 %', '<1 %', '0 %')
    """
    return "<1 %" if 0 < share < 0.005 else f"{share:.0%}".replace("%", " %")


def quantity(value: float, unit: str) -> str:
    """Joules or seconds to three significant digits, with thousands separated.

    Example:
        >>> quantity(1534.2, "J"), quantity(3.456, "s"), quantity(0.01234, "J"), quantity(0, "s")
        ('1,534 J', '3.46 s', '0.0123 J', '0 s')
    """
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return f"∞ {unit}"
    if abs(value) >= 100:
        return f"{value:,.0f} {unit}"
    return f"{value:.3g} {unit}"


def change(value: float, unit: str) -> str:
    """A difference of joules or seconds, with its sign.

    Example:
        >>> change(-171.6, "J"), change(0.04, "s"), change(0.0, "s")
        ('−172 J', '+0.04 s', '±0 s')
    """
    sign = "±" if value == 0 else "+" if value > 0 else "−"
    return MISSING if math.isnan(value) else sign + quantity(abs(value), unit)


def range_text(ends: tuple[float, float], unit: str) -> str:
    """What a figure may come to; empty where that is not known.

    Example:
        >>> range_text((7.204, 14.91), "s"), range_text((float("nan"), 1.0), "s")
        ('7.2 to 14.9 s', '')
    """
    low, high = ends
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"{quantity(low, '').strip()} to {quantity(high, unit)}"


def interval(at: float, half_width: float) -> str:
    """A score with its 95 % interval, where there is one.

    Example:
        >>> interval(0.609, 0.0121), interval(0.609, float("nan"))
        ('0.609 (0.597 to 0.621)', '0.609')
    """
    if math.isnan(half_width):
        return score(at)
    return f"{score(at)} ({score(at - half_width)} to {score(at + half_width)})"


def certificate_text(found: "Certificate") -> str:
    """What a certificate says, in two or three sentences."""
    if not found.rows:
        return "Preservation: no subset was measured."
    seeds = f"{found.rows[0].seeds} seed{'s' if found.rows[0].seeds > 1 else ''}"
    worst = found.worst
    where = worst.label if worst.kind == "frontier" else f"random {worst.label}"
    falls = found.monotonicity
    text = (
        f"Preservation ({found.mode}, {seeds}): mean regret {signed(found.mean_regret)} "
        f"({signed(found.mean_low)} to {signed(found.mean_high)}), largest {signed(worst.regret)} ({where}), on "
        f"{len(found.rows)} subset{'s' if len(found.rows) > 1 else ''}. Adding a model lowers the held-out score in "
        f"{falls.falls:.0%} of {falls.pairs:,} cases, by {falls.largest_fall:.3f} at most."
    )
    if found.uncovered:
        text += (
            f" {len(found.uncovered)} of the frontier's {found.frontier} plans (a subset, and who may answer what) "
            "are not covered."
        )
    return text


def limit(value: float, unit: str) -> str:
    """A budget's limit; NaN stands for limits that differ between categories.

    Example:
        >>> limit(1500, "J"), limit(float("inf"), "J"), limit(float("nan"), "s")
        ('1,500 J', 'none', 'per category')
    """
    if math.isnan(value):
        return "per category"
    return "none" if math.isinf(value) else quantity(value, unit)


def budget_text(row: FrontierRow) -> str:
    """Both limits of a row's budget."""
    energy = _at_most(row.energy_budget_j, "J", {p.category: p.energy_budget_j for p in row.categories})
    latency = _at_most(row.latency_budget_s, "s", {p.category: p.latency_budget_s for p in row.categories})
    return f"energy {energy}, latency {latency} per query"


def _at_most(value: float, unit: str, by_category: Mapping[str, float]) -> str:
    if math.isnan(value) and by_category:
        named = (f"{category} {_at_most(own, unit, {})}" for category, own in by_category.items())
        return f"({', '.join(named)})"
    text = limit(value, unit)
    return f"≤ {text}" if math.isfinite(value) else text


def rho(value: float) -> str:
    """A device's utilisation; ``!`` marks an overloaded one, so that the mark survives without colour.

    Example:
        >>> rho(0.74), rho(2.1), rho(float("nan"))
        ('0.74', '2.10 !', '–')
    """
    if math.isnan(value):
        return MISSING
    return f"{value:.2f} !" if value >= 1 else f"{value:.2f}"


def status_text(row: FrontierRow) -> str:
    """What the status says about how good the subset is.

    ``optimal`` refers to the planned value; the gap is in the planned value's unit.
    """
    match row.status:
        case "optimal":
            return "proven optimal"
        case "gap":
            return f"within {row.gap:.2g} of the bound"
        case "epsilon":
            return f"within {row.gap:.2g}, up to ε"
        case "heuristic":
            return "heuristic, not proven"
        case _:
            return row.status


def running_text(data: Results) -> str:
    """What the chosen deployment draws, costs and emits at the run's rate and tariff."""
    power_w = data.chosen.energy_j * data.queries_per_s
    kwh = power_w * 24 / 1000
    usd, co2_g = (data.tariff[key] for key in ("usd_per_kwh", "co2_g_per_kwh"))
    return (
        f"At {data.queries_per_s:g} queries/s that is {quantity(power_w, 'W')}: {quantity(kwh, 'kWh')}, "
        f"${kwh * usd:.2f} and {quantity(kwh * co2_g / 1000, 'kg CO₂')} a day "
        f"(tariff assumed: ${usd:g} and {co2_g:g} g a kWh)."
    )


def load_now(data: Results) -> LoadRow | None:
    """The chosen deployment at the run's own rate; None where that was not simulated."""
    return next((row for row in data.load if row.queries_per_s == data.queries_per_s), None)


def load_text(data: Results) -> str:
    """What waiting does to the chosen deployment's answers, and at which rate it breaks; '' where not simulated."""
    row = data.chosen
    if not data.load or not row.feasible:
        return ""
    busiest = max(row.utilisation, key=lambda device: row.utilisation[device])
    breaks_at = data.queries_per_s / row.utilisation[busiest]
    text = f"It breaks at {breaks_at:.3g} queries/s, where {busiest} never rests."
    now = load_now(data)
    if now is not None:
        text += (
            f" At {now.queries_per_s:g} an answer takes {quantity(now.mean_s, 's')} on average, waiting included, "
            f"and 95 % take at most {quantity(now.p95_s, 's')} (simulated)."
        )
    if row.prices:
        priced = ", ".join(f"{device} {price:.2g}" for device, price in row.prices.items())
        text += (
            f" Routing charges for busy seconds, in score a second: {priced}; that changes the "
            f"held-out score by {signed(-row.load_loss)}."
        )
    return text


def leaner_text(data: Results) -> str:
    """What could be left out of the chosen deployment for little score; '' where nothing can."""
    row = data.beside("leaner")
    if row is None:
        return ""
    gone = [name for name in data.chosen.experts if name not in row.experts]
    on = {str(data.experts[name]["device"]) for name in row.experts}
    off = [device for device in data.chosen.devices if device not in on]
    parts = [
        f"{device} ({', '.join(name for name in gone if data.experts[name]['device'] == device)})"
        for device in off
    ]
    parts += [name for name in gone if data.experts[name]["device"] not in off]
    return (
        f"A leaner deployment does without {', '.join(parts)}: {quantity(row.energy_j, 'J')} a query, "
        f"{percent(1 - row.energy_j / data.chosen.energy_j)} less, for {signed(-row.difference)} of score "
        f"({signed_span(-row.difference, row.half_width)})."
    )


def step_texts(data: Results) -> list[str]:
    """What a little more of each limit would buy, one sentence a limit that the chosen budget sets.

    Of utilities that are not monotone nothing is known, and nothing said.
    """
    row = data.chosen
    if not row.feasible or data.planned_unit != "score":
        return []
    found = {step.limit: _step_text(step, data) for step in data.steps}
    for limit_, word in (("energy_j", "energy"), ("latency_s", "latency")):
        limits = [getattr(part, f"{word}_budget_{limit_[-1]}") for part in row.categories]
        if limit_ not in found and any(map(math.isfinite, limits)):
            found[limit_] = f"A higher {word} limit alone would buy less than 0.001: it is not what binds."
    return [found[key] for key in ("energy_j", "latency_s") if key in found]


def _step_text(step: StepRow, data: Results) -> str:
    """What the next step of one limit would take and buy."""
    # Of the limit, not of what is used: the present subset may leave some of its own.
    what, unit = ("An energy limit", "J") if step.limit == "energy_j" else ("A latency limit", "s")
    joins = [name for name in step.experts if name not in data.chosen.experts]
    leaves = [name for name in data.chosen.experts if name not in step.experts]
    if joins:
        how = f"with {', '.join(joins)}" + (f" instead of {', '.join(leaves)}" if leaves else "")
    else:
        how = f"without {', '.join(leaves)}" if leaves else "with the same experts, used for more categories"
    return (
        f"{what} {quantity(step.more, unit)} a query higher would buy {signed(step.gain)} of planned score, {how}. "
        f"Held out that is {signed(step.difference)} ({signed_span(step.difference, step.half_width)}), at "
        f"{quantity(step.energy_j, 'J')} and {quantity(step.latency_s, 's')} a query."
    )


def listing(names: Iterable[str]) -> str:
    """Names in one cell."""
    return " + ".join(names)
