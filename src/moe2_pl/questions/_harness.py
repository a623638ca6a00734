"""Questions of lm-evaluation-harness tasks: its texts, its options, its scoring."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe2_pl.errors import ConfigError, DataError, UnknownNameError
from moe2_pl.questions._question import Question, numbered
from moe2_pl.questions._task import Task

__all__ = ["lm_eval_questions"]

# What the harness's own command uses to draw worked examples.
_FEWSHOT_SEED = 1234


def lm_eval_questions(
    tasks: str | Sequence[str],
    *,
    category: str,
    family: str | None = None,
    include_path: str | Path | Sequence[str | Path] | None = None,
    num_fewshot: int | None = None,
    limit: int | None = None,
    normalise: str = "none",
) -> tuple[list[Question], dict[str, Task]]:
    """Questions and tasks by their names in lm-evaluation-harness (package ``lm_eval``).

    Contexts, worked examples and continuations are the harness's, so that log-likelihoods can be compared with it;
    written answers go through the harness's own filters and metrics.

    Args:
        tasks: names of tasks, groups or tags with ``output_type`` ``multiple_choice`` or ``generate_until``.
        category: the application that sends the questions.
        family: the family of all of them; the harness's task name where left out.
        include_path: folders with task files of one's own.
        num_fewshot: worked examples before each question; the task's own number where left out.
        limit: only the first ``limit`` questions of each task.
        normalise: of multiple-choice tasks: ``none`` is the harness's ``acc``, ``characters`` its ``acc_norm``.

    Returns:
        The questions, and the tasks by name.

    Raises:
        ConfigError: ``lm_eval`` is not installed, a dataset that cannot be loaded, or a task of another kind.
        UnknownNameError: a name that the harness does not know.
        DataError: a question whose answer is not one of its options.
    """
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise ConfigError(f"harness tasks need lm_eval: pip install 'moe2-pl[harness]' ({error})") from error
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}; need at least 1 question of each task")
    folders = [include_path] if isinstance(include_path, str | Path) else list(include_path or ())
    for folder in folders:
        if not Path(folder).is_dir():
            raise ConfigError(f"include_path: there is no folder {folder}")
    manager = TaskManager(include_path=folders or None)
    names = [tasks] if isinstance(tasks, str) else list(tasks)
    for name in names:
        if name not in manager.all_tasks:
            raise UnknownNameError("lm_eval task", name, _near(name, manager.all_tasks))
    try:
        loaded = manager.load(names)["tasks"]
    except (ValueError, OSError, KeyError, IndexError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"lm_eval tasks {', '.join(names)} cannot be loaded: {told}") from error
    questions: list[Question] = []
    made: dict[str, Task] = {}
    for name, task in loaded.items():
        made[name] = _task(name, task, normalise)
        task.set_fewshot_seed(_FEWSHOT_SEED)
        shots = num_fewshot if num_fewshot is not None else task.config.num_fewshot or 0
        for k, doc in task.doc_iterator(limit=limit):
            questions.append(
                _question(name, task, k, doc, shots, category, name if family is None else family)
            )
    return numbered(questions), made


@dataclass(frozen=True)
class _HarnessScorer:
    """What the harness makes of a written answer to one of its tasks' documents."""

    task: Any
    metric: str

    def __call__(self, text: str, question: Question) -> float:
        from lm_eval.api.instance import Instance

        doc = self.task.eval_docs[int(question.id.rpartition("/")[2])]
        instance = Instance("generate_until", doc, ("", {}), 0, resps=[text])
        self.task._filters[0].apply([instance])  # of several (strict, flexible) the first
        found = self.task.process_results(doc, list(instance.filtered_resps.values()))
        value = found[self.metric]
        return float(value.item() if hasattr(value, "item") else value)


def _task(name: str, task: Any, normalise: str) -> Task:
    kind = task.OUTPUT_TYPE
    if kind == "multiple_choice":
        if task.multiple_input or task.multiple_target:
            what = "a context for each option" if task.multiple_input else "several right options"
            raise ConfigError(
                f"lm_eval task '{name}' has {what}; one context and one right option are supported"
            )
        return Task(name, "cloze", "{text}", normalise, delimiter=task.config.target_delimiter)
    if kind != "generate_until":
        raise ConfigError(
            f"lm_eval task '{name}' is of the kind '{kind}'; supported are multiple_choice and generate_until"
        )
    settings = dict(task.config.generation_kwargs or {})
    if settings.get("do_sample") or float(settings.get("temperature") or 0) > 0:
        raise ConfigError(f"lm_eval task '{name}' samples its answers; experts answer greedily")
    until = settings.get("until") or []
    return Task(
        name,
        "generate",
        "{text}",
        scorer=_HarnessScorer(task, next(iter(task.aggregation()))),
        max_tokens=int(settings.get("max_gen_toks") or settings.get("max_new_tokens") or 256),
        stop=(until,) if isinstance(until, str) else tuple(until),
    )


def _question(
    name: str, task: Any, k: int, doc: dict[str, Any], shots: int, category: str, family: str
) -> Question:
    context = task.fewshot_context(doc, num_fewshot=shots, gen_prefix=task.doc_to_prefix(doc))
    text = task.doc_to_text(doc)
    # Worked examples and the description stand before the text; a prefix of the answer belongs to the context's end.
    cut = context.rfind(text)
    if cut < 0:
        raise DataError(f"lm_eval task '{name}', question {k}: its text is not in the context that it makes")
    options: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    label = -1
    gold = task.doc_to_target(doc)
    if task.OUTPUT_TYPE == "multiple_choice":
        options = tuple(task.doc_to_choice(doc))
        label = options.index(gold) if isinstance(gold, str) and gold in options else gold
        if not isinstance(label, int) or not 0 <= label < len(options):
            raise DataError(
                f"lm_eval task '{name}', question {k}: the answer {gold!r} is not one of the options {list(options)}"
            )
    else:
        answers = tuple(map(str, gold)) if isinstance(gold, list) else (str(gold),)
    return Question(
        text=context[cut:],
        category=category,
        task=name,
        family=family,
        options=options,
        label=label,
        answers=answers,
        id=f"{name}/{k}",
        preface=context[:cut],
    )


def _near(name: str, known: Sequence[str]) -> list[str]:
    """The few of thousands of names that a message can hold."""
    from difflib import get_close_matches

    return get_close_matches(name, known, n=8, cutoff=0.5) or list(known[:8])
