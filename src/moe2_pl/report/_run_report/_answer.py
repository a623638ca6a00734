"""Why the recommended deployment can be believed: one claim for each doubt, with the figure that answers it."""

from dataclasses import dataclass

from moe2_pl.planning import Results
from moe2_pl.report._format import range_text, score, signed, signed_span

__all__ = ["Claim", "claims"]


@dataclass(frozen=True)
class Claim:
    """A sentence of the answer.

    Args:
        about: the doubt that it answers, in two or three words.
        text: the sentence.
        anchor: of the section that shows more.
    """

    about: str
    text: str
    anchor: str


def claims(data: Results) -> list[Claim]:
    """What backs the chosen deployment; empty where it is infeasible."""
    if not data.chosen.feasible:
        return []
    found = (_plan(data), _held_out(data), _worth(data), _preservation(data), _costs(data))
    return [claim for claim in found if claim is not None]


def _plan(data: Results) -> Claim:
    row = data.chosen
    planned = score(row.planned) if data.planned_unit == "score" else f"{row.planned:.3f} {data.planned_unit}"
    match row.status:
        case "optimal":
            text = f"Proven optimal: no other subset within the budget has a planned value above {planned}."
        case "gap":
            text = f"Proven: no subset that keeps the budget plans {row.gap:.2g} or more above this one's {planned}."
        case "epsilon":
            text = f"It plans {planned}; the best at most {row.gap:.2g} more, if values fall as little as measured."
        case _:
            text = f"It plans {planned}. Found by a heuristic: how far it lies from the best is not known."
    return Claim("The choice", text, "deployments")


def _held_out(data: Results) -> Claim:
    row = data.chosen
    queries = sum(part.queries for part in row.categories)
    text = f"The score is that of {queries:,} held-out queries, which neither training nor planning read."
    off = row.score - row.planned
    if data.planned_unit == "score" and abs(off) <= row.score_half_width:
        text += f" The plan promised {score(row.planned)}, which lies inside the interval."
    elif data.planned_unit == "score":
        text += f" The plan promised {score(row.planned)}, which is off by {signed(off)}"
        text += (
            f", {signed(-row.load_loss)} of it to keep devices from being too busy." if row.prices else "."
        )
    return Claim("The score", text, "calibration")


def _worth(data: Results) -> Claim | None:
    """What the gate is worth against a table of means that needs no training."""
    row = data.beside("lookup")
    if row is None:
        return None
    text = (
        f"{signed(row.difference)} ({signed_span(row.difference, row.half_width)}) against the lookup, which needs no "
        "training, with the same budget and the same queries."
    )
    return Claim("The gate", text, "baselines")


def _preservation(data: Results) -> Claim:
    """The certificate on this deployment's own subset, or over those that it measured."""
    found = data.certificate
    if found is None or not found.rows:
        text = (
            "Not measured whether gates retrained on these experts alone would do better (certificate=off)."
        )
        return Claim("Trained once", text, "certificate")
    own = next((row for row in found.rows if set(row.experts) == set(data.chosen.experts)), None)
    if own is None:
        regret, low, high = found.mean_regret, found.mean_low, found.mean_high
        many = "1 measured subset" if len(found.rows) == 1 else f"{len(found.rows)} measured subsets"
        where = f"{many} (this deployment's own is not among them)"
    else:
        regret, low, high = own.regret, own.low, own.high
        where = "these experts alone"
    verdict = "retraining would help" if low > 0 else "no gain from retraining can be seen"
    text = (
        f"Certificate: gates retrained on {where} change the held-out score by {signed(regret)} "
        f"({signed(low)} to {signed(high)}): {verdict}."
    )
    return Claim("Trained once", text, "certificate")


def _costs(data: Results) -> Claim:
    labels = sorted({data.cost_labels.get(name, "unlabelled") for name in data.chosen.experts})
    text = f"Energy and latency are {' and '.join(labels)}."
    span = range_text(data.chosen.latency_range_s, "s")
    if span:
        text += (
            f" If the devices are as fast or as slow as nine in ten published speeds, the latency is {span}."
        )
    return Claim("The costs", text, "provenance")
