"""What the figures of a run rest on: hashes, seeds and versions, and sentences that must stand beside them."""

import platform
from importlib.metadata import version

from moe2_pl.gate import GatingModule
from moe2_pl.planning._inputs import Inputs
from moe2_pl.pool import ExpertPool

__all__ = ["notes", "provenance"]


def provenance(inputs: Inputs, gate: GatingModule) -> dict[str, str]:
    """What was read and what was made of it, for the report."""
    source = inputs.outputs.provenance
    split = inputs.data.split
    beside = "" if gate.fitted is None else f" and {gate.fitted.name}"
    return {
        "outputs": f"{inputs.data.hparams['outputs']}, SHA-256 {inputs.data.outputs.fingerprint()[:16]}",
        "source": f"{source.get('source', 'not recorded')} {str(source.get('commit', ''))[:12]}".strip(),
        "licence": str(source.get("licence", "not recorded")),
        "pool": f"{inputs.pool.name}, SHA-256 {inputs.pool.fingerprint()[:16]}",
        "split": f"{inputs.data.hparams['split']}, seed {inputs.data.hparams['split_seed']}: {len(split.train)} "
        f"training, {len(split.validation)} validation, {len(split.test)} held-out queries",
        "gate": f"{gate.hparams['network']['name']}{beside}, objective {gate.objective.name}, "
        f"encoder {gate.spec.encoder}, category {inputs.data.hparams['category']}",
        "gate trained for": ", ".join(f"{k} {v[:16]}" for k, v in gate.hparams["trained_for"].items()),
        "versions": ", ".join(f"{p} {version(p)}" for p in ("moe2-pl", "torch", "lightning", "numpy")),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def notes(inputs: Inputs, unfinished: str) -> tuple[str, ...]:
    """Assumptions behind the figures.

    Args:
        inputs: of the run.
        unfinished: what must be said first of the gate's training; empty where it came to its end.
    """
    said = [
        *filter(None, [unfinished]),
        "Budgets limit means, not single queries: an expert answers a category only if its own mean there keeps both "
        "limits. Mixing it with cheaper ones until the category's mean does is not planned.",
        "Planned values come from validation queries; scores are realised on held-out queries that neither "
        "training nor planning read.",
    ]
    if inputs.outputs.output_tokens is None:
        said.append("Answer lengths are assumed per task family (expert_pool.output_tokens), not measured.")
    for model, count in inputs.outputs.provenance.get("too_long", {}).items():
        said.append(
            f"{count} of {len(inputs.outputs.id)} questions are too long for {model}; they count as answered wrongly."
        )
    labels = sorted(set(inputs.costs.label))
    said.append(f"Latency and energy are {' and '.join(labels)}.")
    if "modelled" in labels:
        said.append(_speed_note(inputs.pool))
    return tuple(said)


def _speed_note(pool: ExpertPool) -> str:
    compared = {d.name: d.speed_error for d in pool.devices if d.speed_error is not None}
    parts = [
        f"{error:.0%} of the model's for {', '.join(name for name, e in compared.items() if e == error)}"
        for error in sorted(set(compared.values()))
    ]
    others = [d.name for d in pool.devices if d.name not in compared]
    text = f"Nine in ten published speeds lie within {'; '.join(parts)}." if parts else ""
    if others:
        text += f" For {', '.join(others)} the model was not compared with published speeds."
    return text.strip()
