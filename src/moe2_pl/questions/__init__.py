"""Questions, how they are put to an expert, and how answers are scored; nothing here runs a model."""

from moe2_pl.questions._question import Question, numbered, unique_questions
from moe2_pl.questions._request import Choices, Prompt, Request

__all__ = ["Choices", "Prompt", "Question", "Request", "numbered", "unique_questions"]
