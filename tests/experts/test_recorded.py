"""Answers that were written down elsewhere are read as they were, and a prompt that is missing is named."""

import json

import pytest

from moe2_pl.errors import DataError, MoE2Error
from moe2_pl.experts import Generated, Scored, open_backend
from moe2_pl.questions import Choices, Prompt

ROWS = [
    {"prompt": "2 + 2 =", "log_prob": [-0.1, -3.0], "tokens": [1, 2], "prompt_tokens": 5},
    {"prompt": "Say hello.", "answer": "hello", "tokens": 3},
]


def backend(tmp_path, rows):
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return open_backend("mine", {"backend": "recorded", "path": str(path)})


def test_recorded_answers_come_back(tmp_path):
    recorded = backend(tmp_path, ROWS)
    assert recorded.score([Choices("2 + 2 =", (" 4", " five"))]) == [Scored((-0.1, -3.0), (1, 2), 5)]
    assert recorded.generate([Prompt("Say hello.")]) == [Generated("hello", 3, 0)]
    assert recorded.identity != backend(tmp_path, ROWS[:1]).identity


def test_a_missing_file_is_one_line_of_files_that_hold_rows(tmp_path):
    backend(tmp_path, ROWS)
    (tmp_path / "notes.md").write_text("")
    recorded = open_backend("mine", {"backend": "recorded", "path": str(tmp_path / "said.csv")})
    with pytest.raises(
        MoE2Error, match=r"there is no file '.*said.csv'; files of rows beside it: answers.jsonl$"
    ):
        _ = recorded.identity


def test_log_likelihoods_in_a_csv_file_are_json(tmp_path):
    (tmp_path / "answers.csv").write_text('prompt,log_prob\n2 + 2 =,"[-0.5, -1]"\n')
    recorded = open_backend("mine", {"backend": "recorded", "path": str(tmp_path / "answers.csv")})
    assert recorded.score([Choices("2 + 2 =", (" 4", " five"))]) == [Scored((-0.5, -1.0), (0, 0), 0)]


@pytest.mark.parametrize(
    ("rows", "request_", "message"),
    [
        (ROWS, Prompt("Say goodbye."), "holds no answer of the prompt 'Say goodbye.'"),
        (ROWS, Prompt("2 + 2 ="), "holds no answer"),
        (ROWS, Choices("2 + 2 =", (" 4",)), "2 log-likelihoods for 1 options"),
        ([{"prompt": "x"}], Prompt("x"), "line 1: has prompt; a prompt and its answer or log_prob"),
        ([*ROWS, {"prompt": "Say hello.", "answer": "no"}], Prompt("x"), "has another answer before"),
    ],
)
def test_what_is_not_recorded_is_named(tmp_path, rows, request_, message):
    recorded = backend(tmp_path, rows)
    run = recorded.score if isinstance(request_, Choices) else recorded.generate
    with pytest.raises(DataError, match=message):
        run([request_])
