"""What of a plan lies in its store already, and what lies there besides; no model is loaded."""

from dataclasses import dataclass

from moe2_pl.outputs._plan import OutputPlan

__all__ = ["ModelStatus", "StoreStatus", "plan_status"]


@dataclass(frozen=True)
class ModelStatus:
    """One model's answers.

    Args:
        model: its model_id.
        requests: distinct requests of the plan.
        cached: of these, answered.
        others: answers to requests that the plan does not have: other questions or templates.
        corrupt: shards that were set aside because their content is not what was written.
        too_long: answered requests that do not fit the model's context, and count as answered wrongly.
    """

    model: str
    requests: int
    cached: int
    others: int
    corrupt: int
    too_long: int

    @property
    def missing(self) -> int:
        """Requests not answered yet."""
        return self.requests - self.cached


@dataclass(frozen=True)
class StoreStatus:
    """A plan beside its store.

    Args:
        models: one for each model.
        stale: entries that no model of the plan has the address of: other settings, or other pools.
        stale_answers, stale_mb: what they hold.
        assembled: whether the outputs have been put together.
    """

    models: tuple[ModelStatus, ...]
    stale: int
    stale_answers: int
    stale_mb: float
    assembled: bool


def plan_status(plan: OutputPlan) -> StoreStatus:
    """Look into the store of a plan. Every shard is verified, and damaged ones are set aside.

    Raises:
        MoE2Error: a model whose files cannot be found, or a store that cannot be read.
    """
    ours = {plan.entry(model).address for model in plan.models}
    models = []
    for model in plan.models:
        answers = plan.entry(model).read()
        cached = sum(key in answers for key in plan.by_key)
        too_long = sum("too_long" in answers[key] for key in plan.by_key if key in answers)
        models.append(
            ModelStatus(model, len(plan.by_key), cached, len(answers) - cached, answers.corrupt, too_long)
        )
    stale = [entry for entry in plan.store.entries() if entry.address not in ours]
    return StoreStatus(
        tuple(models),
        len(stale),
        sum(entry.records for entry in stale),
        sum(entry.size_bytes for entry in stale) / 1e6,
        (plan.folder / "manifest.json").is_file(),
    )
