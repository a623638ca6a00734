"""Questions from files and from Hugging Face datasets."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from moe2_pl.errors import ConfigError, DataError, closest
from moe2_pl.questions._question import Question
from moe2_pl.questions._rows import Columns, Row, questions_of_rows
from moe2_pl.questions._task import Task

__all__ = ["datasets_questions", "read_questions", "read_rows"]

_PACKAGE = "package:"


def read_questions(
    path: str | Path,
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
    """Questions from a file of JSON lines, CSV (UTF-8, with a header) or Parquet.

    Args:
        path: the file; ``package:name/folder/file.jsonl`` for one that an installed package holds.
        task: the task that asks them, or its name.
        columns: ``text``, ``options``, ``label``, ``answers``, ``category``, ``family``, ``id`` → column; several
            columns for ``options``, one an option; a dot reaches into nested values.
        category: the application of all rows, where no column says it.
        family: the family of all rows, likewise.
        label_as: how the label names the right option: its ``index`` from 0, its ``number`` from 1, its ``letter``,
            its ``text``, or ``auto``: the one of index, letter and text that fits all rows.
        where: column → value or list of values; other rows are left out.
        count: how many rows to take at random, in the file's order; None for all.
        seed: of that choice.
        duplicates: whether to ``refuse`` or to ``keep`` questions with one option twice, as some benchmarks have.

    Raises:
        ConfigError: a missing file or package, an ending that is none of the three, columns that do not suffice.
        UnknownNameError: a column that the file lacks.
        DataError: what cannot be read, with file and row: an empty file, a broken line, bytes that are not
            UTF-8, a label that names no option, a single option or one twice, an empty answer, duplicate ids.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "quiz.csv"
        >>> _ = file.write_text("question,a,b,right\\nWhich is a fruit?,plum,desk,A\\n")
        >>> columns = {"text": "question", "options": ["a", "b"], "label": "right"}
        >>> [asked] = read_questions(file, task="quiz", category="assistant", columns=columns)
        >>> asked.options, asked.label
        (('plum', 'desk'), 0)
    """
    return questions_of_rows(
        read_rows(path),
        str(path),
        task=task,
        columns=columns,
        category=category,
        family=family,
        label_as=label_as,
        where=where,
        count=count,
        seed=seed,
        duplicates=duplicates,
    )


def datasets_questions(
    path: str,
    *,
    task: str | Task,
    columns: Columns,
    split: str,
    name: str | None = None,
    revision: str | None = None,
    category: str = "",
    family: str = "",
    label_as: str = "auto",
    where: Mapping[str, Any] | None = None,
    count: int | None = None,
    seed: int = 0,
    duplicates: str = "refuse",
) -> list[Question]:
    """Questions from a dataset of the Hugging Face Hub, or from a local folder that ``datasets`` reads.

    Args:
        path: Hub id or folder, as ``datasets.load_dataset`` takes it.
        split: ``test``, ``validation[:100]``, …
        name: the dataset's configuration.
        revision: branch, tag or commit on the Hub.
        task, columns, category, family, label_as, where, count, seed, duplicates: as :func:`read_questions` has them.

    Raises:
        ConfigError: ``datasets`` is not installed, or cannot load this.
        UnknownNameError, DataError: as :func:`read_questions`.
    """
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ConfigError(
            f"questions from datasets need the datasets package: pip install 'moe2-pl[questions]' ({error})"
        ) from error
    try:
        table = load_dataset(path, name, split=split, revision=revision)
    except (ValueError, OSError, KeyError) as error:  # its own errors are kinds of these
        told = " ".join(str(error).split())
        raise ConfigError(f"dataset '{path}', split '{split}', cannot be loaded: {told}") from error
    rows = ((f"dataset '{path}', {split}, row {k}", row) for k, row in enumerate(table))
    return questions_of_rows(
        rows,
        f"dataset '{path}'",
        task=task,
        columns=columns,
        category=category,
        family=family,
        label_as=label_as,
        where=where,
        count=count,
        seed=seed,
        duplicates=duplicates,
    )


def read_rows(path: str | Path) -> Iterator[tuple[str, Row]]:
    """Rows of a file of JSON lines, CSV (UTF-8, with a header) or Parquet, each beside its place for messages.

    Args:
        path: the file; ``package:name/folder/file.jsonl`` for one that an installed package holds.

    Raises:
        ConfigError: a missing file or package, or an ending that is none of the three.
        DataError: a row that cannot be read.
    """
    file = _file(str(path))
    if file.suffix not in _READERS:
        raise ConfigError(f"'{path}' ends in '{file.suffix}'; expected {', '.join(_READERS)}")
    return _READERS[file.suffix](file)


def _file(path: str) -> Path:
    file = Path(path)
    if path.startswith(_PACKAGE):
        package, _, inside = path.removeprefix(_PACKAGE).partition("/")
        spec = find_spec(package) if package.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(f"there is no file '{path}': no package '{package}' is installed")
        file = Path(spec.submodule_search_locations[0]) / inside
    if not file.is_file():
        raise ConfigError(f"there is no file '{path}'{_nearest(file)}")
    return file


def _nearest(file: Path) -> str:
    """What to say of the place where a file is missing."""
    if file.is_dir():
        return ": it is a folder; name a file in it"
    if not file.parent.is_dir():
        return f", nor a folder '{file.parent}'"
    known = sorted(p.name for p in file.parent.iterdir() if p.is_file() and p.suffix in _READERS)
    close = closest(file.name, known)
    if close:
        return f"; did you mean '{file.parent / close}'?"
    return f"; files of rows beside it: {', '.join(known[:8]) or 'none'}"


def _decoded(file: Path) -> str:
    """The text of a file in UTF-8, whether it begins with a byte-order mark or not."""
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"'{file}' cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        data, start = error.object, error.start
        line = data.count(b"\n", 0, start) + 1
        begin = max(data.rfind(b"\n", 0, start) + 1, start - 20)
        there = data[begin : start + 8].split(b"\n")[0].decode("latin-1")
        raise DataError(
            f"{file}, line {line}: the byte 0x{data[start]:02x} in {there!r} is not UTF-8; save the file as UTF-8"
        ) from error


def _json_lines(file: Path) -> Iterator[tuple[str, Row]]:
    for k, line in enumerate(StringIO(_decoded(file), newline=None), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.rstrip())
        except json.JSONDecodeError as error:
            raise DataError(
                f"{file}, line {k}: {line.strip()[:40]!r} is not JSON ({error.msg}, column {error.colno}); "
                "expected an object"
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{file}, line {k}: holds {line.strip()[:40]!r}; expected an object")
        yield f"{file}, line {k}", row


def _csv(file: Path) -> Iterator[tuple[str, Row]]:
    reader = csv.DictReader(StringIO(_decoded(file), newline=""))
    try:
        header = reader.fieldnames or ()
        if len(header) == 1 and (sign := next((sign for sign in ";\t|" if sign in header[0]), "")):
            raise DataError(
                f"{file}: its header {header[0][:60]!r} seems to use {sign!r}; columns are separated by commas"
            )
        twice = [name for name, times in Counter(header).items() if times > 1]
        if twice:
            raise DataError(
                f"{file}: its header names '{twice[0]}' twice; every column needs a name of its own"
            )
        for k, row in enumerate(reader, 1):
            if None in row or None in row.values():
                given = len(header) + len(row.get(None, ())) - list(row.values()).count(None)
                raise DataError(f"{file}, row {k}: has {given} columns, and the header {len(header)}")
            yield f"{file}, row {k}", row
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: not CSV ({error})") from error


def _parquet(file: Path) -> Iterator[tuple[str, Row]]:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import read_table
    except ImportError as error:
        raise ConfigError(
            f"Parquet files need pyarrow: pip install 'moe2-pl[questions]' ({error})"
        ) from error
    try:
        table = read_table(file)
    except ArrowInvalid as error:
        raise DataError(f"{file}: not a Parquet file ({error})") from error
    for k, row in enumerate(table.to_pylist(), 1):
        yield f"{file}, row {k}", row


_READERS = {".jsonl": _json_lines, ".csv": _csv, ".parquet": _parquet}
