"""Questions, how they are put to an expert, and how answers are scored; nothing here runs a model."""

from moe2_pl.questions._config import questions_from_config
from moe2_pl.questions._harness import lm_eval_questions
from moe2_pl.questions._question import Question, numbered, unique_questions
from moe2_pl.questions._request import Choices, Prompt, Request
from moe2_pl.questions._skills import SKILLS, skill_questions
from moe2_pl.questions._sources import datasets_questions, read_questions, read_rows
from moe2_pl.questions._task import Task

__all__ = [
    "SKILLS",
    "Choices",
    "Prompt",
    "Question",
    "Request",
    "Task",
    "datasets_questions",
    "lm_eval_questions",
    "numbered",
    "questions_from_config",
    "read_questions",
    "read_rows",
    "skill_questions",
    "unique_questions",
]
