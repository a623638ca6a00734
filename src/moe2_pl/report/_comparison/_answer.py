"""The comparison's plain answer: what varied, which job is best and by what, what did not end well."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from moe2_pl.report._comparison._choice import Choice, best_choices, chance, choice_heading, margin
from moe2_pl.report._comparison._data import Comparison, JobRow, Variant, is_budget, number, shown
from moe2_pl.report._comparison._trade import trade_heading, trade_sentences, trade_tiles
from moe2_pl.report._format import quantity, score, status_text

__all__ = ["Answer", "answer", "outcome_text", "progress", "title"]

_TROUBLES = ("infeasible", "failed", "interrupted", "partial")
_LISTED = 8  # values of a setting, or budgets, that are worth naming one by one


@dataclass(frozen=True)
class Answer:
    """What stands at the top of the page, and in short in the terminal.

    Args:
        heading: the answer in one line.
        tiles: (label, figure, note) of the best job, or of what the budgets span.
        sentences: the rest of it.
        choices: where other settings were compared under several budgets, the best of each; else empty.
        budgets: of a sweep over budgets and seeds each budget, where they are few; else empty.
        best: the job that the tiles are about; None where jobs cannot be ranked.
    """

    heading: str
    tiles: tuple[tuple[str, str, str], ...]
    sentences: tuple[str, ...]
    choices: tuple[Choice, ...] = ()
    budgets: tuple[Variant, ...] = ()
    best: JobRow | None = None


def title(c: Comparison) -> str:
    """What the comparison is of."""
    partial = " (partial: interrupted)" if c.partial else ""
    return f"Comparison of {_count(c)} job{'s' * (c.total > 1)}{partial}"


def progress(c: Comparison) -> str:
    """How far a sweep came that was interrupted; '' for one that was not.

    Example:
        >>> jobs = JobRow("0", {}, "ended"), JobRow("1", {}, "interrupted")
        >>> progress(Comparison("", jobs, partial=True, never_began=({"seed": "2"}, {"seed": "3"})))
        '1 of 4 jobs ended, 1 was interrupted, 2 never began.'
    """
    if not c.partial:
        return ""
    cut = sum(job.outcome in ("interrupted", "partial") for job in c.jobs)
    parts = [f"{len(c.jobs) - cut} of {c.total} job{'s' * (c.total > 1)} ended"]
    parts += [f"{cut} {'was' if cut == 1 else 'were'} interrupted"] if cut else []
    parts += [f"{len(c.never_began)} never began"] if c.never_began else []
    return f"{', '.join(parts)}."


def answer(c: Comparison) -> Answer:
    """The answer of a sweep."""
    jobs = c.with_deployment
    asked = _asked(c)
    count = ("jobs", _count(c), _outcomes(c))
    if not jobs:
        ended = any(job.outcome == "ended" for job in c.jobs)
        heading = "No job was evaluated" if ended else f"No job has a deployment: {_outcomes(c)}"
        return Answer(heading, (count,), asked)
    if len(jobs) == 1:
        which = f"job {jobs[0].job}" if c.total > 1 else "the only job"
        heading = f"One deployment to look at, of {which}: held-out score {score(jobs[0].score)}"
        return Answer(heading, (count, *_tiles(jobs[0])), (*asked, *_deploys(jobs[0])), best=jobs[0])
    if c.only_budgets and not c.different_queries:
        budgets = c.variants()
        listed = tuple(budgets) if c.seeds > 1 and len(budgets) <= _LISTED else ()
        sentences = (*asked, *trade_sentences(c))
        return Answer(trade_heading(c), (count, *trade_tiles(c)), sentences, budgets=listed)
    choices = best_choices(c)
    if not choices:
        heading = "No job has a validation score to choose by"
        return Answer(heading, (count,), asked)
    if len(choices) > 1:
        heading = (
            f"The best of each {'budget' if c.budgets_varied else 'set of queries'}, by validation score"
        )
        return Answer(heading, (count,), (*asked, *chance(choices), *_cautions(c)), tuple(choices))
    (choice,) = choices
    sentences = (*asked, *margin(choice), *_cautions(c), *_deploys(choice.job))
    tiles = (count, _validation(choice), *_tiles(choice.job))
    return Answer(choice_heading(c, choice), tiles, sentences, best=choice.job)


def _cautions(c: Comparison) -> tuple[str, ...]:
    """What keeps jobs from being compared as they stand."""
    jobs = c.with_deployment
    found = []
    if c.different_queries:
        found.append(
            "The jobs were judged on different queries, so that their scores cannot be compared throughout."
        )
    budget = [key for key in c.varied if is_budget(key)]
    limits: dict[str, set[tuple[float, float]]] = {}
    for job in jobs:
        if job.row and not math.isnan(job.row.energy_budget_j + job.row.latency_budget_s):
            pair = (job.row.energy_budget_j, job.row.latency_budget_s)
            limits.setdefault(c.named(job, budget), set()).add(pair)
    if any(len(pairs) > 1 for pairs in limits.values()):
        found.append(
            "Budgets of one name have other limits in some of the jobs, because the limits come from each job's own "
            "pool and devices: the table below has them."
        )
    return tuple(found)


def _asked(c: Comparison) -> tuple[str, ...]:
    parts = [
        f"{key} ({', '.join(_ascending(values))})"
        if len(values) <= _LISTED
        else f"{key} ({len(values)} values, {_ends(values)})"
        for key, values in c.varied.items()
    ]
    # What a search would have varied is not known from one trial.
    varied = f"What varied: {'; '.join(parts)}." if parts else "" if c.search else "Nothing varied."
    common = ", ".join(f"{key}={value}" for key, value in c.common.items())
    same = f"The same in all jobs: {common}." if common and not (c.search and not parts) else ""
    return tuple(filter(None, (progress(c), varied, same)))


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
    parts += [f"{count[word]} {word}" for word in _TROUBLES if count[word]]
    parts += [f"{len(c.never_began)} never began"] if c.never_began else []
    return ", ".join(parts)


def _count(c: Comparison) -> str:
    return f"{len(c.jobs)} of {c.total}" if c.never_began else str(c.total)


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


def outcome_text(job: JobRow) -> str:
    """How a job ended, or how good its plan is."""
    if job.outcome == "ended":
        return status_text(job.chosen) if job.chosen else "not evaluated"
    return job.outcome
