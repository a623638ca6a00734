"""A question: what a user asks, which application sends it, and what would be right."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256

from moe2_pl.errors import DataError

__all__ = ["Question", "numbered", "unique_questions"]


@dataclass(frozen=True)
class Question:
    """One query with its reference.

    Args:
        text: the question as the user sends it; encoders read this, templates are put around it later.
        category: the application that sends it.
        task: name of the :class:`Task` that says how it is asked and scored.
        family: the task family or skill; metadata, never shown to a gate. Empty for none.
        options: K options of a multiple-choice question; empty where the answer is written freely.
        label: index of the right option; −1 where there are none.
        answers: accepted answers of a freely written one.
        id: unique; left empty, :func:`numbered` gives ``<hash of text and options>#<occurrence>``.
        preface: what stands before the text when it is put to an expert, such as worked examples; encoders do not
            read it.

    Raises:
        DataError: a label that is no index of an option, an answer missing, or an empty text.
    """

    text: str
    category: str
    task: str
    family: str = ""
    options: tuple[str, ...] = ()
    label: int = -1
    answers: tuple[str, ...] = ()
    id: str = ""
    preface: str = ""

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise DataError(f"question '{self.id}' of '{self.category}' has an empty text")
        if self.options and not 0 <= self.label < len(self.options):
            raise DataError(
                f"question {self.text[:60]!r}: label is {self.label}; its {len(self.options)} options are "
                f"numbered 0…{len(self.options) - 1}"
            )
        if not self.options and not self.answers:
            raise DataError(f"question {self.text[:60]!r} has neither options nor answers; give one of them")


def numbered(questions: Iterable[Question]) -> list[Question]:
    """The questions, each with an id: copies of one text with the same options share the part before ``#``.

    Raises:
        DataError: an id that stands twice.
    """
    seen: Counter[str] = Counter()
    found = []
    for question in questions:
        if question.id:
            found.append(question)
            continue
        stem = sha256("\0".join((question.text, *question.options)).encode()).hexdigest()[:16]
        found.append(replace(question, id=f"{stem}#{seen[stem]}"))
        seen[stem] += 1
    return unique_questions(found)


def unique_questions(questions: list[Question]) -> list[Question]:
    """The questions, once their ids are known to differ.

    Raises:
        DataError: an id that stands twice.
    """
    count = Counter(question.id for question in questions)
    name, times = max(count.items(), key=lambda item: item[1], default=("", 0))
    if times > 1:
        raise DataError(f"question id '{name}' stands {times} times; ids must be unique")
    return questions
