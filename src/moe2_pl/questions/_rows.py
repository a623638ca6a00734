"""Rows of a table → questions: which column holds what, and how the right option is named."""

from collections import Counter
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

_MISSING = object()
_SEVERAL = ("options", "answers")  # may be spread over several columns
_DUPLICATES = ("refuse", "keep")


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
            raise self._unread(tried)
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
                    f"{where}: label {value!r} is not the {name} ({_named(name, options)}) of an option; "
                    f"the options are {list(options)}"
                )
            labels.append(label)
        return labels

    def _unread(self, tried: Mapping[str, list[int | None]]) -> DataError:
        """What to say of labels that no one reading fits."""
        most = max(tried, key=lambda name: sum(found is not None for found in tried[name]))
        k = tried[most].index(None)
        at, value, options = self.where[k], self.values[k], self.options[k]
        fits = [name for name, found in tried.items() if found[k] is not None]
        if fits:
            return DataError(
                f"{at}: label {value!r} is an option's {fits[0]}, but other rows need labels to be read as {most}; "
                "one reading holds for all rows"
            )
        ways = ", ".join(f"its {name} ({_named(name, options)})" for name in ("index", "letter"))
        twice = [option.strip() for option in options].count(str(value).strip()) > 1
        why = "is the text of several options" if twice else "names no option"
        return DataError(
            f"{at}: label {value!r} {why}; the options are {list(options)}, and a label is the right one's text, {ways}"
        )


def _named(reading: str, options: Sequence[str]) -> str:
    """The labels that a reading knows."""
    last = len(options) - 1
    known = {"index": f"0…{last}", "number": f"1…{last + 1}", "letter": f"A…{LETTERS[min(last, 25)]}"}
    return known.get(reading, "as it is written there")


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
    duplicates: str = "refuse",
) -> list[Question]:
    """Questions from rows, each beside the place that errors name.

    Args:
        rows: (``file, row 3``, row) pairs.
        source: what an error about all of them calls them.
        task: the task that asks them, or its name.
        columns: what (:data:`COLUMNS`) → column; ``options`` may name several columns, one an option, and
            ``answers`` several, of which a row may leave some empty. A dot
            reaches into nested values.
        category: the application of all rows, where no column says it.
        family: the family of all rows, likewise.
        label_as: how the label names the right option: its ``index`` from 0, its ``number`` from 1, its ``letter``,
            its ``text``, or ``auto``.
        where: column → value or list of values; other rows are left out.
        count: how many rows to take at random, in the file's order; None for all.
        seed: of that choice.
        duplicates: whether to ``refuse`` or to ``keep`` questions with one option twice, as some benchmarks have.

    Raises:
        UnknownNameError: an unknown key of ``columns``, or a column that the rows lack.
        ConfigError: no text, neither options nor answers, not what the task needs, or no category.
        DataError: no rows, a value that cannot be read, an answer that is none of the options, duplicate ids.
    """
    _check_columns(columns, source)
    if not isinstance(where or {}, Mapping):
        raise ConfigError(
            f"{source}: where is {where!r}; expected column: value, as in {{topic: [law, tax]}}"
        )
    if count is not None and (not isinstance(count, int) or isinstance(count, bool)):
        raise ConfigError(f"{source}: count is {count!r}; expected a whole number of rows, or null for all")
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
    if duplicates not in _DUPLICATES:
        raise UnknownNameError(f"duplicates for {source}", duplicates, _DUPLICATES)
    if isinstance(task, Task):
        _check_task(task, columns, source)
    chosen = _chosen(list(rows), source, where or {}, count, seed)

    def column(key: str) -> list[Any] | None:
        if key not in columns:
            return None
        name = columns[key]
        if not isinstance(name, str):
            several = [list(values) for values in zip(*(_values(chosen, n) for n in name), strict=True)]
            # Rows of one table accept different numbers of answers.
            return (
                several
                if key == "options"
                else [[v for v in values if v not in ("", None)] for values in several]
            )
        return _values(chosen, name)

    at = [place for place, _ in chosen]
    texts = [_text(value, place, "text") for place, value in zip(at, column("text") or [], strict=True)]
    n = len(chosen)
    options: list[tuple[str, ...]] = [()] * n
    labels = [-1] * n
    if "options" in columns:
        pairs = zip(at, column("options") or [], strict=True)
        options = [_options(value, place, duplicates) for place, value in pairs]
        labels = _Labels(at, column("label") or [], options).read(label_as)
    answers: list[tuple[str, ...]] = [()] * n
    if "answers" in columns:
        answers = [_answers(value, place) for place, value in zip(at, column("answers") or [], strict=True)]
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


def _check_columns(columns: Columns, source: str) -> None:
    if not isinstance(columns, Mapping):
        raise ConfigError(
            f"columns for {source} are {columns!r}; expected a mapping such as {{text: question}}"
        )
    for key, name in columns.items():
        if key not in COLUMNS:
            raise UnknownNameError(f"key of columns for {source}", str(key), COLUMNS)
        if isinstance(name, str):
            continue
        listed = isinstance(name, Sequence) and len(name) > 0 and all(isinstance(part, str) for part in name)
        if key not in _SEVERAL or not listed:
            right = "a column's name or a list of them" if key in _SEVERAL else "a column's name"
            raise ConfigError(f"columns for {source}: {key} is {name!r}; expected {right}")


def _check_task(task: Task, columns: Columns, source: str) -> None:
    if task.format == "generate" and "answers" not in columns:
        raise ConfigError(
            f"{source}: task '{task.name}' (format generate) has answers written, and columns name none to compare "
            "them with; say answers: COLUMN, or let the task weigh options by format cloze or letter"
        )
    if task.format != "generate" and "options" not in columns:
        raise ConfigError(
            f"{source}: task '{task.name}' (format {task.format}) weighs options, and columns name none; say options "
            "and label, or let the task have answers written by format generate"
        )


def _chosen(
    rows: list[tuple[str, Row]], source: str, where: Mapping[str, Any], count: int | None, seed: int
) -> list[tuple[str, Row]]:
    if not rows:
        raise DataError(f"{source} is empty; expected at least one question")
    for name, wanted in where.items():
        values = [wanted] if isinstance(wanted, str) or not isinstance(wanted, Sequence) else list(wanted)
        found = _values(rows, name)
        rows = [pair for pair, value in zip(rows, found, strict=True) if value in values]
        if not rows:
            there = sorted({repr(value) for value in found})
            more = ", …" if len(there) > 8 else ""
            raise DataError(
                f"{source}: no row where {name} is {wanted!r}; it is {', '.join(there[:8])}{more}"
            )
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


def _values(rows: list[tuple[str, Row]], name: str) -> list[Any]:
    """The values of a column, or of a nested one by its dotted name.

    Raises:
        UnknownNameError: no row has it.
        DataError: one row lacks it.
    """
    found = [_value(row, name) for _, row in rows]
    lacking = [k for k, value in enumerate(found) if value is _MISSING]
    if not lacking:
        return found
    at, row = rows[lacking[0]]
    if len(lacking) < len(rows):
        raise DataError(
            f"{at}: lacks '{name}', which other rows have; its keys are {', '.join(map(str, row))}"
        )
    known, part = row, name
    if name not in row:
        for part in name.split("."):
            if not isinstance(known.get(part), Mapping):
                break
            known = known[part]
    raise UnknownNameError("column", name if known is row else part, map(str, known), at)


def _value(row: Row, name: str) -> Any:
    if name in row:
        return row[name]
    found: Any = row
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return _MISSING
        found = found[part]
    return found


def _text(value: Any, at: str, what: str) -> str:
    if value is None or not str(value).strip():
        raise DataError(f"{at}: the {what} is empty")
    return str(value)


def _options(value: Any, at: str, duplicates: str) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise DataError(
            f"{at}: options are {value!r}; expected a list, or name several columns, one an option"
        )
    texts = ["" if option is None else str(option) for option in value]
    while texts and not texts[-1].strip():  # tables whose questions have different numbers of options
        texts.pop()
    if not all(text.strip() for text in texts):
        raise DataError(f"{at}: options are {texts}; only the last ones may be empty")
    if len(texts) < 2:
        raise DataError(f"{at}: options are {texts}; a choice needs at least 2")
    count = Counter(text.strip() for text in texts)
    twice = [text for text, times in count.items() if times > 1]
    if twice and duplicates == "refuse":
        raise DataError(
            f"{at}: options are {texts}, of which {twice[0]!r} stands {count[twice[0]]} times; they must differ "
            "(duplicates: keep asks all the same)"
        )
    return tuple(texts)


def _answers(value: Any, at: str) -> tuple[str, ...]:
    values = [value] if isinstance(value, str | int | float) else value
    if not isinstance(values, Sequence):
        raise DataError(f"{at}: answers are {value!r}; expected a text or a list of texts")
    texts = ["" if answer is None else str(answer) for answer in values]
    if not texts or not all(text.strip() for text in texts):
        raise DataError(f"{at}: answers are {value!r}; expected at least one text, and none that is empty")
    return tuple(texts)
