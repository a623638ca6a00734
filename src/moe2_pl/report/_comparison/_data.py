"""The jobs of a sweep as plain values, and how they group: by what varied, by budget, by variant."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from moe2_pl.planning import FrontierRow

__all__ = ["Comparison", "JobRow", "Variant", "is_budget", "mean", "number", "shown"]

_BUDGET, _SEED = "budget", "seed"


@dataclass(frozen=True)
class JobRow:
    """One job of a sweep: what was asked of it, and what came of it.

    Args:
        job: name of its folder.
        asked: setting → value, as they were typed.
        outcome: ended, partial (its figures stand, but planning or the certificate was cut short), infeasible, failed
            or interrupted.
        reason: why it is infeasible, failed or was interrupted.
        chosen: the row of the budget that was asked for; None where nothing was evaluated. Infeasible jobs have a row
            of their own with the limits that were asked for, NaN where they are not known.
        grid: rows of the swept grid; may be empty.
        planned_unit: what planned values are in (score, nats); '' where that is not known.
        validation_score: mean score of validation queries in the chosen deployment; NaN where there is none.
        queries: tells which queries the job was judged on; '' where that is not known. Scores of different ones are not
            comparable.
        mean_regret, mean_regret_low, mean_regret_high: the certificate's; NaN without one.
        report: relative link to its report.html; '' where there is none.
    """

    job: str
    asked: Mapping[str, str]
    outcome: str
    reason: str = ""
    chosen: FrontierRow | None = None
    grid: tuple[FrontierRow, ...] = ()
    planned_unit: str = ""
    validation_score: float = math.nan
    queries: str = ""
    mean_regret: float = math.nan
    mean_regret_low: float = math.nan
    mean_regret_high: float = math.nan
    report: str = ""

    @classmethod
    def infeasible(cls, job: str, asked: Mapping[str, str], reason: str) -> "JobRow":
        """A job whose budget no subset meets; its limits are known where they were asked for as plain numbers."""
        energy, latency = (number(asked.get(f"{_BUDGET}.{key}", "")) for key in ("energy_j", "latency_s"))
        return cls(job, asked, "infeasible", reason, FrontierRow.empty("chosen", energy, latency))

    @property
    def row(self) -> FrontierRow | None:
        """The row of its deployment; None where it has none."""
        return self.chosen if self.chosen is not None and self.chosen.feasible else None

    @property
    def score(self) -> float:
        """Held-out score of its deployment; NaN where it has none."""
        return self.row.score if self.row else math.nan


@dataclass(frozen=True)
class Variant:
    """Jobs that differ in the seed alone.

    Args:
        name: the settings that tell it from the others, in short.
        jobs: at least one.
    """

    name: str
    jobs: tuple[JobRow, ...]

    @property
    def validation_score(self) -> float:
        """Mean over the jobs that have one."""
        return mean(job.validation_score for job in self.jobs)

    @property
    def score(self) -> float:
        """Mean held-out score."""
        return mean(job.score for job in self.jobs)

    @property
    def energy_j(self) -> float:
        """Mean energy of a query."""
        return mean(job.row.energy_j for job in self.jobs if job.row)

    @property
    def latency_s(self) -> float:
        """Mean latency of a query."""
        return mean(job.row.latency_s for job in self.jobs if job.row)

    def deviation(self, figure: str) -> float:
        """Sample standard deviation of ``validation_score`` or ``score`` over the jobs; NaN for a single one."""
        values = [value for job in self.jobs if not math.isnan(value := getattr(job, figure))]
        return stdev(values) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class Comparison:
    """The jobs of one sweep.

    Args:
        name: of the sweep.
        jobs: in their order.
        partial: whether the sweep was interrupted.
        search: whether a sweeper chose each job's settings by the scores of those before it.
        never_began: setting → value, as it was asked of each job that an interrupt forestalled; empty mappings in a
            search, which had not chosen them.
    """

    name: str
    jobs: tuple[JobRow, ...]
    partial: bool = False
    search: bool = False
    never_began: tuple[Mapping[str, str], ...] = ()

    @property
    def total(self) -> int:
        """How many jobs were asked for."""
        return len(self.jobs) + len(self.never_began)

    @property
    def varied(self) -> dict[str, tuple[str, ...]]:
        """Settings with more than one value in what was asked → their values in the order of the jobs."""
        return _varied([*(job.asked for job in self.jobs), *filter(None, self.never_began)])

    @property
    def common(self) -> dict[str, str]:
        """Settings that all jobs share → their value."""
        varied = self.varied
        return {key: value for key, value in self.jobs[0].asked.items() if key not in varied}

    @property
    def short(self) -> dict[str, str]:
        """Varied setting → its last part, where that alone tells it from the others.

        Example:
            >>> jobs = [JobRow(s, {"gate.optimizer.lr": s, "seed": s}, "ended") for s in "12"]
            >>> Comparison("", tuple(jobs)).short
            {'gate.optimizer.lr': 'lr', 'seed': 'seed'}
        """
        keys = list(self.varied)
        last = {key: key.rpartition(".")[2] for key in keys}
        return {key: end if list(last.values()).count(end) == 1 else key for key, end in last.items()}

    @property
    def with_deployment(self) -> tuple[JobRow, ...]:
        """Jobs that found one."""
        return tuple(job for job in self.jobs if job.row)

    @property
    def _varied_deployed(self) -> dict[str, tuple[str, ...]]:
        return _varied([job.asked for job in self.with_deployment])

    @property
    def settings(self) -> tuple[str, ...]:
        """What varied among the jobs with a deployment, but for the budget and the seed."""
        return tuple(key for key in self._varied_deployed if not is_budget(key) and key != _SEED)

    @property
    def budgets_varied(self) -> bool:
        """Whether jobs with a deployment were asked for different budgets."""
        return any(map(is_budget, self._varied_deployed))

    @property
    def only_budgets(self) -> bool:
        """Whether the budget alone varied among the jobs with a deployment, and perhaps the seed."""
        return self.budgets_varied and not self.settings

    @property
    def seeds(self) -> int:
        """How many training seeds the jobs with a deployment have."""
        return len(self._varied_deployed.get(_SEED, ("",)))

    @property
    def different_queries(self) -> bool:
        """Whether jobs with a deployment were judged on different queries, so that their scores do not compare."""
        return len({job.queries for job in self.with_deployment}) > 1

    def variants(
        self, leave_out: Sequence[str] = (_SEED,), among: Iterable[JobRow] | None = None
    ) -> list[Variant]:
        """Jobs, by default those with a deployment, grouped by all that varied but ``leave_out``, in their order."""
        keys = [key for key in self.varied if key not in leave_out]
        groups: dict[tuple[str, ...], list[JobRow]] = {}
        for job in self.with_deployment if among is None else among:
            groups.setdefault(tuple(job.asked.get(key, "") for key in keys), []).append(job)
        return [Variant(self.named(jobs[0], keys) or "all jobs", tuple(jobs)) for jobs in groups.values()]

    def families(self) -> list[Variant]:
        """Jobs with a deployment that differ in budget and seed alone."""
        return self.variants([key for key in self.varied if is_budget(key) or key == _SEED])

    def named(self, job: JobRow, keys: Iterable[str] | None = None) -> str:
        """A job's values of some settings, all that varied by default, in short.

        Example:
            >>> jobs = [JobRow(s, {"gate.optimizer.lr": s, "gate": "mlp"}, "ended") for s in "12"]
            >>> Comparison("", tuple(jobs)).named(jobs[1])
            'lr=2'
        """
        short = self.short
        chosen = short if keys is None else keys
        return ", ".join(f"{short[key]}={shown(job.asked.get(key, ''))}" for key in chosen)


def _varied(asked: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    keys = dict.fromkeys(key for settings in asked for key in settings)
    values = {key: tuple(dict.fromkeys(settings.get(key, "") for settings in asked)) for key in keys}
    return {key: found for key, found in values.items() if len(found) > 1}


def is_budget(setting: str) -> bool:
    """Whether a setting is part of the budget."""
    return setting == _BUDGET or setting.startswith(f"{_BUDGET}.")


def mean(values: Iterable[float]) -> float:
    """Mean of those that are not NaN; NaN where there is none.

    Example:
        >>> mean([1.0, float("nan"), 2.0]), mean([])
        (1.5, nan)
    """
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan


def shown(value: str) -> str:
    """A setting's value as people read it: of a number that a search drew, four digits.

    Example:
        >>> shown("0.3477507960624044"), shown("2048"), shown("mixture")
        ('0.3478', '2048', 'mixture')
    """
    return f"{float(value):.4g}" if len(value) > 7 and math.isfinite(number(value)) else value


def number(text: str) -> float:
    """A setting's value as a number; NaN where it is none.

    Example:
        >>> number("3e-4"), number("null"), number("mixture")
        (0.0003, nan, nan)
    """
    try:
        return float(text)
    except ValueError:
        return math.nan
