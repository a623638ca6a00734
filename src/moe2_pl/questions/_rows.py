"""Rows of a table → questions: which column holds what, and how the right option is named."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moe2_pl.errors import ConfigError, DataError, UnknownNameError
from moe2_pl.questions._question import Question, numbered
from moe2_pl.questions._stream import Stream
from moe2_pl.questions._task import LETTERS, Task

__all__ = ["COLUMNS", "Columns", "questions_of_rows"]

COLUMNS = ("text", "options", "label", "answers", "category", "family", "id")
Columns = Mapping[str, str | Sequence[str]]
Row = Mapping[str, Any]


def _number(value: Any) -> int | None:
    """A whole number, written as such or as text."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _by_index(value: Any, options: Sequence[str]) -> int | None:
    number = _number(value)
    return number if number is not None and 0 <= number < len(options) else None


def _by_number(value: Any, options: Sequence[str]) -> int | None:
    number = _number(value)
    return number - 1 if number is not None and 1 <= number <= len(options) else None


def _by_letter(value: Any, options: Sequence[str]) -> int | None:
    text = str(value).strip().removesuffix(".").upper()
    if len(text) != 1 or text not in LETTERS[: len(options)]:
        return None
    return LETTERS.index(text)


def _by_text(value: Any, options: Sequence[str]) -> int | None:
    plain = [option.strip() for option in options]
    text = str(value).strip()
    return plain.index(text) if plain.count(text) == 1 else None


_READINGS: dict[str, Callable[[Any, Sequence[str]], int | None]] = {
    "index": _by_index,
    "letter": _by_letter,
    "text": _by_text,
    "number": _by_number,
}


@dataclass(frozen=True)
class _Labels:
    """Labels as a table holds them, beside the options that they name."""

    where: list[str]
    values: list[Any]
    options: list[tuple[str, ...]]

    def read(self, label_as: str) -> list[int]:
        """Indices; with ``auto`` by the one reading (index, letter, text) that fits every row."""
        if label_as != "auto":
            if label_as not in _READINGS:
                raise UnknownNameError("label_as", label_as, ["auto", *_READINGS])
            return self._checked(label_as)
        tried = {name: self._found(name) for name in ("index", "letter", "text")}
        fitting = {name: found for name, found in tried.items() if None not in found}
        if not fitting:
            best = max(tried, key=lambda name: sum(found is not None for found in tried[name]))
            return self._checked(best)
        name, *others = fitting
        for k, label in enumerate(fitting[name]):
            for other in others:
                if fitting[other][k] != label:
                    raise DataError(
                        f"{self.where[k]}: label {self.values[k]!r} may be an option's {name} or its {other}; say "
                        f"label_as: {name} or label_as: {other}"
                    )
        return self._checked(name)

    def _found(self, name: str) -> list[int | None]:
        pairs = zip(self.values, self.options, strict=True)
        return [_READINGS[name](value, options) for value, options in pairs]

    def _checked(self, name: str) -> list[int]:
        labels = []
        for where, value, options, label in zip(
            self.where, self.values, self.options, self._found(name), strict=True
        ):
            if label is None:
                raise DataError(
                    f"{where}: the answer {value!r}, read as {name}, is not one of the options {list(options)}"
                )
            labels.append(label)
        return labels


def questions_of_rows(
    rows: Iterable[tuple[str, Row]],
    source: str,
    *,
    task: str | Task,
    columns: Columns,
    category: str = "",
    family: str = "",
    label_as: str = "auto",
    where: Mapping[str, Any] | None = None,
    count: int | None = None,
    seed: int = 0,
) -> list[Question]:
    """Questions from rows, each beside the place that errors name.

    Args:
        rows: (``file, row 3``, row) pairs.
        source: what an error about all of them calls them.
        task: the task that asks them, or its name.
        columns: what (:data:`COLUMNS`) → column; ``options`` may name several columns, one an option. A dot
            reaches into nested values.
        category: the application of all rows, where no column says it.
        family: the family of all rows, likewise.
        label_as: how the label names the right option: its ``index`` from 0, its ``number`` from 1, its ``letter``,
            its ``text``, or ``auto``.
        where: column → value or list of values; other rows are left out.
        count: how many rows to take at random, in the file's order; None for all.
        seed: of that choice.

    Raises:
        UnknownNameError: an unknown key of ``columns``, or a column that the rows lack.
        ConfigError: no text, neither options nor answers, or no category.
        DataError: no rows, a value that cannot be read, an answer that is none of the options, duplicate ids.
    """
    for key in columns:
        if key not in COLUMNS:
            raise UnknownNameError(f"key of columns for {source}", key, COLUMNS)
    lacking = [key for key in ("text",) if key not in columns]
    if "options" in columns and "label" not in columns:
        lacking.append("label")
    if "options" not in columns and "answers" not in columns:
        lacking.append("options or answers")
    if lacking:
        raise ConfigError(
            f"columns for {source} lack {', '.join(lacking)}; say which column holds it, as in text: question"
        )
    if not category and "category" not in columns:
        raise ConfigError(f"{source}: no category; give one for all questions or a column that holds it")
    chosen = _chosen(list(rows), source, where or {}, count, seed)

    def column(key: str) -> list[Any] | None:
        if key not in columns:
            return None
        name = columns[key]
        if not isinstance(name, str):
            return [[_value(row, n, at) for n in name] for at, row in chosen]
        return [_value(row, name, at) for at, row in chosen]

    at = [place for place, _ in chosen]
    texts = [_text(value, place, "text") for place, value in zip(at, column("text") or [], strict=True)]
    n = len(chosen)
    options = [_options(value, place) for place, value in zip(at, column("options") or [[]] * n, strict=True)]
    labels = [-1] * n
    if "options" in columns:
        labels = _Labels(at, column("label") or [], options).read(label_as)
    answers = [_answers(value, place) for place, value in zip(at, column("answers") or [[]] * n, strict=True)]
    name = task if isinstance(task, str) else task.name
    categories, families = column("category"), column("family")
    ids = [str(value) for value in column("id") or [""] * n]
    _check_ids(ids, at)
    return numbered(
        Question(
            text=texts[k],
            category=category if categories is None else _text(categories[k], at[k], "category"),
            task=name,
            family=family if families is None else _text(families[k], at[k], "family"),
            options=options[k],
            label=labels[k],
            answers=answers[k],
            id=ids[k],
        )
        for k in range(n)
    )


def _chosen(
    rows: list[tuple[str, Row]], source: str, where: Mapping[str, Any], count: int | None, seed: int
) -> list[tuple[str, Row]]:
    if not rows:
        raise DataError(f"{source} is empty; expected at least one question")
    for name, wanted in where.items():
        values = [wanted] if isinstance(wanted, str) or not isinstance(wanted, Sequence) else list(wanted)
        rows = [(at, row) for at, row in rows if _value(row, name, at) in values]
        if not rows:
            raise DataError(f"{source}: no row where {name} is {wanted!r}")
    if count is None:
        return rows
    if not 1 <= count <= len(rows):
        raise DataError(f"{source}: count is {count}; it has {len(rows)} rows to choose from")
    index = sorted(Stream(f"rows/{seed}").sample(range(len(rows)), count))
    return [rows[k] for k in index]


def _check_ids(ids: list[str], at: list[str]) -> None:
    first: dict[str, str] = {}
    for name, place in zip(ids, at, strict=True):
        if name and name in first:
            raise DataError(
                f"{place}: question id '{name}' stands at {first[name]} already; ids must be unique"
            )
        first[name] = place


def _value(row: Row, name: str, at: str) -> Any:
    """The value of a column, or of a nested one by its dotted name."""
    if name in row:
        return row[name]
    found: Any = row
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            keys = list(found) if isinstance(found, Mapping) else []
            raise UnknownNameError(f"column at {at}", name if found is row else part, map(str, keys))
        found = found[part]
    return found


def _text(value: Any, at: str, what: str) -> str:
    if value is None or not str(value).strip():
        raise DataError(f"{at}: the {what} is empty")
    return str(value)


def _options(value: Any, at: str) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise DataError(
            f"{at}: options are {value!r}; expected a list, or name several columns, one an option"
        )
    texts = ["" if option is None else str(option) for option in value]
    while texts and not texts[-1].strip():  # tables whose questions have different numbers of options
        texts.pop()
    if not all(text.strip() for text in texts):
        raise DataError(f"{at}: options are {texts}; only the last ones may be empty")
    return tuple(texts)


def _answers(value: Any, at: str) -> tuple[str, ...]:
    values = [value] if isinstance(value, str | int | float) else value
    if not isinstance(values, Sequence):
        raise DataError(f"{at}: answers are {value!r}; expected a text or a list of texts")
    return tuple(str(answer) for answer in values)
