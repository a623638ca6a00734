"""The comparison's plain answer: what varied, which job is best and by what, what did not end well."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from moe2_pl.report._comparison._data import Comparison, JobRow, Variant, is_budget, number, shown
from moe2_pl.report._format import MISSING, quantity, score, signed, status_text

__all__ = ["Answer", "Choice", "answer", "outcome_text", "plus_minus"]

_TROUBLES = ("infeasible", "failed", "interrupted", "partial")
_LISTED = 8  # values of a setting that are worth naming one by one
_NAMED = 3  # variants, likewise


@dataclass(frozen=True)
class Choice:
    """The best variant among those that can be compared.

    Args:
        among: what they share, a budget say; '' where all jobs can be compared.
        variant: the one with the highest mean validation score.
        job: its job with the highest validation score.
        ahead: mean validation score less the next variant's; NaN where there is none.
        runner_up: name of the next; '' where there is none.
    """

    among: str
    variant: Variant
    job: JobRow
    ahead: float
    runner_up: str


@dataclass(frozen=True)
class Answer:
    """What stands at the top of the page, and in short in the terminal.

    Args:
        heading: the answer in one line.
        tiles: (label, figure, note) of the best job.
        sentences: the rest of it.
        choices: where jobs under several budgets were compared, the best of each; else empty.
        best: the job that the tiles are about; None where no job has a deployment.
    """

    heading: str
    tiles: tuple[tuple[str, str, str], ...]
    sentences: tuple[str, ...]
    choices: tuple[Choice, ...] = ()
    best: JobRow | None = None


def answer(c: Comparison) -> Answer:
    """The answer of a sweep."""
    jobs = c.with_deployment
    asked = _asked(c)
    count = ("jobs", str(len(c.jobs)), _outcomes(c))
    if not jobs:
        ended = any(job.outcome == "ended" for job in c.jobs)
        heading = "No job was evaluated" if ended else f"No job has a deployment: {_outcomes(c)}"
        return Answer(heading, (count,), asked)
    if len(jobs) == 1:
        which = f"job {jobs[0].job}" if len(c.jobs) > 1 else "the only job"
        heading = f"One deployment to look at, of {which}: held-out score {score(jobs[0].score)}"
        return Answer(heading, (count, *_tiles(jobs[0])), (*asked, *_deploys(jobs[0])), best=jobs[0])
    if c.budgets_varied and not c.settings and not c.different_queries:
        return _trade(c, count, asked)
    choices = _choices(c)
    if not choices:
        heading = "No job has a validation score to choose by"
        return Answer(heading, (count,), asked)
    if len(choices) > 1:
        heading = (
            f"The best of each {'budget' if c.budgets_varied else 'set of queries'}, by validation score"
        )
        return Answer(heading, (count,), (*asked, *_cautions(c)), tuple(choices))
    (choice,) = choices
    sentences = (*asked, *_margin(c, choice), *_cautions(c), *_deploys(choice.job))
    tiles = (count, _validation(choice), *_tiles(choice.job))
    return Answer(_heading(c, choice), tiles, sentences, best=choice.job)


def _heading(c: Comparison, choice: Choice) -> str:
    if not c.settings and c.seeds == 1:
        return f"The jobs were asked for the same: validation score {score(choice.variant.validation_score)}"
    if not c.settings:
        return f"The seed alone changes the validation score by up to {score(_spread(choice.variant))}"
    scatter = choice.variant.deviation("validation_score")
    if choice.ahead <= scatter:
        return f"No clear winner: {choice.variant.name} is {score(choice.ahead)} ahead in validation score"
    return f"Best by validation score: {choice.variant.name}"


def _spread(variant: Variant) -> float:
    values = [job.validation_score for job in variant.jobs if not math.isnan(job.validation_score)]
    return max(values) - min(values)


def _trade(c: Comparison, count: tuple[str, str, str], asked: tuple[str, ...]) -> Answer:
    """Of a sweep over budgets: the highest score, and who comes near it with fewer joules or seconds."""
    rows = [(job, job.row) for job in c.with_deployment if job.row]
    top, best = max(rows, key=lambda pair: (pair[1].score, -pair[1].energy_j))
    low = min(row.score for _, row in rows)
    half = 0.0 if math.isnan(best.score_half_width) else best.score_half_width
    near = [(job, row) for job, row in rows if row.score >= best.score - half]
    thrifty, frugal = min(near, key=lambda pair: (pair[1].energy_j, -pair[1].score))
    swift, fast = min(near, key=lambda pair: (pair[1].latency_s, -pair[1].score))
    sentences = [f"The highest held-out score is that of job {top.job} ({c.named(top)}): {_figures(top)}."]
    within = f"Within that score's 95 % interval (± {score(half)})" if half else "With the same score"
    if thrifty is not top:
        saved = 1 - frugal.energy_j / best.energy_j
        sentences.append(
            f"{within}, job {thrifty.job} ({c.named(thrifty)}) needs the fewest joules, {100 * saved:.0f} % less: "
            f"{_figures(thrifty)}."
        )
    if swift is not top:
        saved = 1 - fast.latency_s / best.latency_s
        sentences.append(
            f"{within}, job {swift.job} ({c.named(swift)}) is the fastest, {100 * saved:.0f} % less: {_figures(swift)}."
        )
    heading = f"Held-out score {score(low)} to {score(best.score)}, depending on the budget"
    return Answer(heading, (count, *_tiles(top)), (*asked, *sentences, *_deploys(top)), best=top)


def _figures(job: JobRow) -> str:
    if job.row is None:
        return MISSING
    return f"{score(job.score)} at {quantity(job.row.energy_j, 'J')} and {quantity(job.row.latency_s, 's')} a query"


def _choices(c: Comparison) -> list[Choice]:
    """The best variant of each group of jobs under the same budget and on the same queries."""
    budget = [key for key in c.varied if is_budget(key)] if c.settings else []
    groups: dict[tuple[str, ...], list[Variant]] = {}
    for variant in c.variants():
        first = variant.jobs[0]
        if not math.isnan(variant.validation_score):
            key = (first.queries, *(first.asked.get(name, "") for name in budget))
            groups.setdefault(key, []).append(variant)
    found = []
    sets = {key[0] for key in groups}
    for (_, *limits), variants in groups.items():
        best, *others = sorted(variants, key=lambda v: -v.validation_score)
        among = ", ".join(f"{c.short[key]}={value}" for key, value in zip(budget, limits, strict=True))
        if len(sets) > 1 and not among:
            names = [variant.name for variant in variants]
            among = (
                " or ".join(names) if len(names) <= _NAMED else f"{len(names)} variants on the same queries"
            )
        found.append(
            Choice(
                among,
                best,
                max(
                    (j for j in best.jobs if not math.isnan(j.validation_score)),
                    key=lambda j: j.validation_score,
                ),
                best.validation_score - others[0].validation_score if others else math.nan,
                others[0].name if others else "",
            )
        )
    return found


def _margin(c: Comparison, choice: Choice) -> tuple[str, ...]:
    """How sure it is that the best is better than the next."""
    variant = choice.variant
    validation, held_out = (plus_minus(variant, figure) for figure in ("validation_score", "score"))
    own = f"{variant.name}: validation score {validation}, held out {held_out}"
    if len(variant.jobs) > 1:
        own += f" (mean ± sd over {len(variant.jobs)} seeds; job {choice.job.job} is the best of them)"
    own += "."
    if not choice.runner_up:
        return (own,)
    text = f"The next is {choice.runner_up}, {signed(-choice.ahead)}."
    scatter = variant.deviation("validation_score")
    if math.isnan(scatter):
        text += " With one seed each it is not known whether that is more than chance: add seed=0,1,2."
    elif choice.ahead <= scatter:
        text += (
            f" That is no more than seeds scatter (± {score(scatter)}): seeds alone could make this order."
        )
    else:
        text += f" Seeds scatter by ± {score(scatter)}."
    return own, text


def _cautions(c: Comparison) -> tuple[str, ...]:
    """What keeps jobs from being compared as they stand."""
    jobs = c.with_deployment
    found = []
    if c.different_queries:
        found.append(
            "The jobs were judged on different queries, so that their scores cannot be compared throughout."
        )
    limits = {(job.row.energy_budget_j, job.row.latency_budget_s) for job in jobs if job.row}
    finite = {pair for pair in limits if not any(map(math.isnan, pair))}
    if not c.budgets_varied and len(finite) > 1:
        found.append(
            "The budget has one name and other limits in some of the jobs, because the limits come from each job's own "
            "pool: the table has them."
        )
    return tuple(found)


def _asked(c: Comparison) -> tuple[str, ...]:
    parts = [
        f"{key} ({', '.join(values)})"
        if len(values) <= 8
        else f"{key} ({len(values)} values, {_ends(values)})"
        for key, values in c.varied.items()
    ]
    varied = f"What varied: {'; '.join(parts)}." if parts else "Nothing varied."
    common = ", ".join(f"{key}={value}" for key, value in c.common.items())
    return varied, *([f"The same in all jobs: {common}."] if common else [])


def _ascending(values: tuple[str, ...]) -> list[str]:
    """Numbers in ascending order, as people read them; anything else as it was asked."""
    numbers = not any(math.isnan(number(value)) for value in values)
    return [shown(value) for value in (sorted(values, key=number) if numbers else values)]


def _ends(values: tuple[str, ...]) -> str:
    ranked = _ascending(values)
    return (
        f"{ranked[0]} to {ranked[-1]}"
        if not math.isnan(number(values[0]))
        else f"{ranked[0]}, {ranked[1]}, …"
    )


def _outcomes(c: Comparison) -> str:
    count = Counter(job.outcome for job in c.jobs if job.outcome != "ended")
    done = sum(job.outcome == "ended" and job.row is not None for job in c.jobs)
    parts = [f"{done} with a deployment"] if done else []
    bare = sum(job.outcome == "ended" and job.row is None for job in c.jobs)
    parts += [f"{bare} without evaluation"] if bare else []
    return ", ".join([*parts, *(f"{count[word]} {word}" for word in _TROUBLES if count[word])])


def _validation(choice: Choice) -> tuple[str, str, str]:
    sd = choice.variant.deviation("validation_score")
    note = (
        f"job {choice.job.job}"
        if math.isnan(sd)
        else f"± {score(sd)}, mean of {len(choice.variant.jobs)} seeds"
    )
    return ("best validation score", score(choice.variant.validation_score), note)


def _tiles(job: JobRow) -> Iterable[tuple[str, str, str]]:
    row = job.row
    if row is None:
        return ()
    half = "" if math.isnan(row.score_half_width) else f"± {score(row.score_half_width)} (95 %), "
    return (
        ("held-out score", score(row.score), f"{half}job {job.job}"),
        ("energy per query", quantity(row.energy_j, "J"), f"job {job.job}"),
        ("latency per query", quantity(row.latency_s, "s"), f"job {job.job}"),
    )


def _deploys(job: JobRow) -> tuple[str, ...]:
    if job.row is None:
        return ()
    return (f"Job {job.job} deploys {', '.join(job.row.experts)} on {', '.join(job.row.devices)}.",)


def plus_minus(variant: Variant, figure: str) -> str:
    """A variant's mean with its standard deviation, where it has several jobs."""
    sd = variant.deviation(figure)
    return score(getattr(variant, figure)) + ("" if math.isnan(sd) else f" ± {score(sd)}")


def outcome_text(job: JobRow) -> str:
    """How a job ended, or how good its plan is."""
    if job.outcome == "ended":
        return status_text(job.chosen) if job.chosen else "not evaluated"
    return job.outcome
