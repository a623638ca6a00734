"""A set of questions as a configuration file holds it."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

from moe2_pl.errors import ConfigError, UnknownNameError
from moe2_pl.questions._harness import lm_eval_questions
from moe2_pl.questions._question import Question, unique_questions
from moe2_pl.questions._skills import skill_questions
from moe2_pl.questions._sources import datasets_questions, read_questions
from moe2_pl.questions._task import Task

__all__ = ["questions_from_config"]

_SOURCES: dict[str, Callable[..., Any]] = {
    "skills": skill_questions,
    "file": read_questions,
    "datasets": datasets_questions,
    "lm_eval": lm_eval_questions,
}


def questions_from_config(config: Sequence[Mapping[str, Any]]) -> tuple[list[Question], dict[str, Task]]:
    """Questions of several sources and the tasks that ask them.

    Every mapping has ``source`` and the arguments of that source: ``skills`` of :func:`skill_questions`, ``file`` of
    :func:`read_questions`, ``datasets`` of :func:`datasets_questions`, ``lm_eval`` of :func:`lm_eval_questions`. Its
    ``task`` is a mapping of :class:`Task`'s arguments, or the name of a task that an earlier mapping has defined;
    harness tasks bring their own. No skill question is asked twice in the whole set.

    Args:
        config: the mappings, in the order of the questions.

    Raises:
        UnknownNameError: an unknown source, key or task.
        ConfigError: an argument that is missing, or a task defined in two ways.
        DataError: what a source refuses, or an id that stands twice.

    Example:
        >>> questions, tasks = questions_from_config([
        ...     {"source": "skills", "skills": {"code": 2, "logic": 1}, "seed": 0, "category": "coder",
        ...      "task": {"name": "skills", "format": "cloze"}},
        ... ])
        >>> [question.family for question in questions], tasks["skills"].format
        (['code', 'logic', 'code'], 'cloze')
    """
    questions: list[Question] = []
    tasks: dict[str, Task] = {}
    for k, entry in enumerate(config):
        where = f"questions[{k}]"
        options = dict(entry)
        source = options.pop("source", None)
        if source is None:
            raise ConfigError(f"{where} has no source; expected one of {', '.join(_SOURCES)}")
        if source not in _SOURCES:
            raise UnknownNameError(f"source of {where}", str(source), _SOURCES)
        _check_keys(where, source, options)
        if source == "lm_eval":
            found, made = lm_eval_questions(**options)
            for task in made.values():
                _define(task, tasks, where)
        else:
            options["task"] = _task(options.get("task"), tasks, where)
            if source == "skills":
                options["exclude"] = {*options.get("exclude", ()), *(question.text for question in questions)}
            found = _SOURCES[source](**options)
        questions += found
    if not questions:
        raise ConfigError("questions is empty; name at least one source of questions")
    return unique_questions(questions), tasks


def _check_keys(where: str, source: str, options: Mapping[str, Any]) -> None:
    parameters = signature(_SOURCES[source]).parameters
    for key in options:
        if key not in parameters:
            raise UnknownNameError(f"key of {where} ({source})", key, ["source", *parameters])
    lacking = [
        name for name, value in parameters.items() if value.default is value.empty and name not in options
    ]
    if lacking:
        raise ConfigError(f"{where} ({source}) lacks {', '.join(lacking)}")


def _task(given: Any, tasks: dict[str, Task], where: str) -> Task:
    if isinstance(given, str):
        if given not in tasks:
            raise UnknownNameError(f"task of {where}", given, tasks)
        return tasks[given]
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{where} has the task {given!r}; expected a mapping such as {{name: quiz, format: letter}}"
        )
    return _define(Task.from_mapping(given), tasks, where)


def _define(task: Task, tasks: dict[str, Task], where: str) -> Task:
    if tasks.setdefault(task.name, task) != task:
        raise ConfigError(
            f"{where} defines the task '{task.name}' otherwise than before; give it another name"
        )
    return task
