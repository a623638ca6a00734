"""Drawing questions of several skills: the same for a seed everywhere, none twice, training and evaluation apart."""

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256

from moe2_pl.errors import ConfigError, DataError, UnknownNameError
from moe2_pl.questions._question import Question, numbered
from moe2_pl.questions._skills._code import code
from moe2_pl.questions._skills._letters import alphabet, initials, letters, reversal, sorting
from moe2_pl.questions._skills._logic import logic, membership, ordering
from moe2_pl.questions._skills._numbers import arithmetic, roman, sequences, units
from moe2_pl.questions._skills._options import Drawn
from moe2_pl.questions._skills._time import clock, weekdays
from moe2_pl.questions._stream import Stream
from moe2_pl.questions._task import Task

__all__ = ["SKILLS", "skill_questions"]

_SKILLS: dict[str, Callable[[Stream], Drawn]] = {
    "alphabet": alphabet,
    "arithmetic": arithmetic,
    "clock": clock,
    "code": code,
    "initials": initials,
    "letters": letters,
    "logic": logic,
    "membership": membership,
    "ordering": ordering,
    "reversal": reversal,
    "roman": roman,
    "sequences": sequences,
    "sorting": sorting,
    "units": units,
    "weekdays": weekdays,
}
SKILLS = tuple(_SKILLS)
_PARTS = ("train", "evaluate")
# Draws in vain before a skill counts as used up.
_PATIENCE = 2000


def skill_questions(
    skills: Mapping[str, int],
    *,
    seed: int,
    category: str,
    task: str | Task = "skills",
    part: str = "evaluate",
    exclude: Iterable[str] = (),
) -> list[Question]:
    """Multiple-choice questions whose answers are computed, four options each.

    The wrong options are near misses; seen without the question, the four are alike, and the right one stands at any
    place with the same chance. A text belongs to ``train`` or to ``evaluate`` by its hash, so that what specialists
    are trained on is never what they are judged by, whatever the seeds.

    Args:
        skills: skill → number of questions, of :data:`SKILLS`; they are dealt out in turn.
        seed: names the stream, together with the category.
        category: the application that sends the questions.
        task: the task that asks them, or its name.
        part: ``train`` (three quarters of all texts) or ``evaluate`` (the others).
        exclude: texts not to ask again.

    Raises:
        UnknownNameError: an unknown skill or part.
        ConfigError: no skills, or a count below 1.
        DataError: a skill that has fewer different questions than asked for.

    Example:
        >>> [asked] = skill_questions({"weekdays": 1}, seed=0, category="planner")
        >>> asked.text
        'The visit of Elena is 5 days after Friday. Which weekday is that?'
        >>> asked.options[asked.label]
        'Wednesday'
    """
    if part not in _PARTS:
        raise UnknownNameError("part of the questions", part, _PARTS)
    if not skills:
        raise ConfigError("no skills are named; give skill: count, as in arithmetic: 100")
    for name, count in skills.items():
        if name not in _SKILLS:
            raise UnknownNameError("skill", name, _SKILLS)
        if count < 1:
            raise ConfigError(f"skill '{name}' has count {count}; need at least 1")
    used = set(exclude)
    drawn: list[tuple[float, int, Question]] = []
    for order, (name, count) in enumerate(skills.items()):
        stream = Stream(f"{seed}/{category}/{name}/{part}")
        for k in range(count):
            question = _next(name, stream, part, used, category, task if isinstance(task, str) else task.name)
            used.add(question.text)
            drawn.append(((k + 0.5) / count, order, question))
    return numbered(question for _, _, question in sorted(drawn, key=lambda item: item[:2]))


def _next(name: str, stream: Stream, part: str, used: set[str], category: str, task: str) -> Question:
    for _ in range(_PATIENCE):
        found = _SKILLS[name](stream)
        if found.text not in used and _part(found.text) == part:
            options = stream.sample(found.wrong, 3)
            label = stream.below(4)
            options.insert(label, found.right)
            return Question(found.text, category, task, name, tuple(options), label)
    raise DataError(f"skill '{name}' has no more different questions of the part '{part}'; ask for fewer")


def _part(text: str) -> str:
    return "evaluate" if sha256(text.encode()).digest()[0] < 64 else "train"
