"""The best variant of a sweep by validation score, and how sure that is."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from moe2_pl.report._comparison._data import Comparison, JobRow, Variant, is_budget, mean
from moe2_pl.report._format import score, signed

__all__ = ["Choice", "best_choices", "chance", "choice_heading", "margin", "plus_minus"]

_NAMED = 3  # variants that are worth naming one by one
_DIGITS = 3  # of a score, as it is shown


@dataclass(frozen=True)
class Choice:
    """The best variant among those that can be compared.

    Args:
        among: what they share, a budget say; '' where all jobs can be compared.
        name: the settings that tell the best from the others.
        variant: the one with the highest mean validation score; of equal ones, as scores are shown, the one with the
            fewest joules.
        job: its job with the highest validation score.
        ahead: mean validation score less the next variant's; NaN where there is none.
        runner_up: the next's settings; '' where there is none.
        scatter: standard deviation of the validation score over the seeds of a variant, pooled over those that can be
            compared; NaN where each has one seed.
    """

    among: str
    name: str
    variant: Variant
    job: JobRow
    ahead: float
    runner_up: str
    scatter: float

    @property
    def tie(self) -> bool:
        """Whether the next has the same score, as scores are shown."""
        return round(abs(self.ahead), _DIGITS) == 0

    @property
    def lead(self) -> str:
        """By how much it is ahead, in short, and how much seeds scatter where that is known."""
        seeds = "" if math.isnan(self.scatter) else f" (seeds ± {score(self.scatter)})"
        return "tie, fewer joules" if self.tie else f"{signed(self.ahead)}{seeds}"


def best_choices(c: Comparison) -> list[Choice]:
    """The best variant of each group of jobs under the same budget and on the same queries."""
    budget = [key for key in c.varied if is_budget(key)]
    rest = [key for key in c.varied if key not in budget and key != "seed"]
    groups: dict[tuple[str, str], list[Variant]] = {}
    for variant in c.variants():
        if not math.isnan(variant.validation_score):
            first = variant.jobs[0]
            groups.setdefault((first.queries, c.named(first, budget)), []).append(variant)
    found = []
    for (_, under), variants in groups.items():
        best, *others = sorted(variants, key=_rank)
        names = [c.named(variant.jobs[0], rest) for variant in (best, *others)]
        among = under
        if c.different_queries:
            same = (
                " or ".join(names) if len(names) <= _NAMED else f"{len(names)} variants on the same queries"
            )
            among = ": ".join(filter(None, (under, same)))
        scored = [job for job in best.jobs if not math.isnan(job.validation_score)]
        found.append(
            Choice(
                among,
                names[0] or best.name,
                best,
                max(scored, key=lambda job: job.validation_score),
                best.validation_score - others[0].validation_score if others else math.nan,
                names[1] if others else "",
                math.sqrt(mean(variant.deviation("validation_score") ** 2 for variant in variants)),
            )
        )
    return found


def _rank(variant: Variant) -> tuple[float, float]:
    return -round(variant.validation_score, _DIGITS), variant.energy_j


def choice_heading(c: Comparison, choice: Choice) -> str:
    """The choice in one line."""
    if not c.settings and c.seeds == 1:
        return f"The jobs were asked for the same: validation score {score(choice.variant.validation_score)}"
    if not c.settings:
        values = [job.validation_score for job in choice.variant.jobs if not math.isnan(job.validation_score)]
        return f"The seed alone changes the validation score by up to {score(max(values) - min(values))}"
    if choice.tie:
        return f"No clear winner: {choice.name} and {choice.runner_up} tie in validation score"
    if choice.ahead <= choice.scatter:
        return f"No clear winner: {choice.name} is {score(choice.ahead)} ahead in validation score"
    if choice.runner_up and math.isnan(choice.scatter):
        # Settings of a search are long: what they are worth stands before them.
        return f"Highest validation score, by {score(choice.ahead)} at one seed, which may be chance: {choice.name}"
    return f"Best by validation score: {choice.name}"


def margin(choice: Choice) -> tuple[str, ...]:
    """How sure it is that the best is better than the next, in sentences."""
    variant = choice.variant
    validation, held_out = (plus_minus(variant, figure) for figure in ("validation_score", "score"))
    own = f"{choice.name}: validation score {validation}, held out {held_out}"
    if len(variant.jobs) > 1:
        own += f" (mean ± sd over {len(variant.jobs)} seeds; job {choice.job.job} is the best of them)"
    own += "."
    if not choice.runner_up:
        return (own,)
    text = f"The next is {choice.runner_up}, {signed(-choice.ahead)}."
    if choice.tie:
        text = f"{choice.runner_up} has the same score, with no fewer joules a query."
    if choice.ahead <= choice.scatter:
        text += f" Seeds scatter by ± {score(choice.scatter)}, so that they alone could make this order."
    elif not math.isnan(choice.scatter):
        text += f" Seeds scatter by ± {score(choice.scatter)}."
    return own, text, *chance([choice])


def chance(choices: Iterable[Choice]) -> tuple[str, ...]:
    """What one seed cannot tell; nothing where several can, or there is nothing to tell apart."""
    if not any(choice.runner_up and math.isnan(choice.scatter) for choice in choices):
        return ()
    return (
        "With one seed each it is not known whether a lead is more than chance: run them with seed=0,1,2.",
    )


def plus_minus(variant: Variant, figure: str) -> str:
    """A variant's mean with its standard deviation, where it has several jobs."""
    sd = variant.deviation(figure)
    return score(getattr(variant, figure)) + ("" if math.isnan(sd) else f" ± {score(sd)}")
