"""How well an expert answers generated skills."""

from collections.abc import Mapping, Sequence

from moe2_pl.errors import ConfigError
from moe2_pl.experts._backend import Backend, Scored
from moe2_pl.questions import Choices, Task, skill_questions

__all__ = ["skill_accuracy"]


def skill_accuracy(
    backend: Backend, skills: Sequence[str], questions: int, *, seed: int, task: Task
) -> Mapping[str, float]:
    """Share of right answers to questions that no specialist is trained on.

    Args:
        backend: of the expert.
        skills: names of skills.
        questions: how many of each.
        seed: of the questions.
        task: how they are put.
    """
    asked = skill_questions(
        dict.fromkeys(skills, questions), seed=seed, category="specialist", part="evaluate", task=task
    )
    requests = []
    for question in asked:
        request = task.request(question)
        if not isinstance(request, Choices):
            raise ConfigError(f"task '{task.name}' has answers written; specialists are judged by options")
        requests.append(request)
    right = dict.fromkeys(skills, 0.0)
    for question, answer in zip(asked, backend.score(requests), strict=True):
        if isinstance(answer, Scored):  # what is too long is not right
            right[question.family] += task.score_options(question, answer.log_prob, answer.tokens)
    return {skill: count / questions for skill, count in right.items()}
