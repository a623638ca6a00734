"""Harness tasks: the questions, continuations and scores are those of lm-evaluation-harness itself."""

import json
from pathlib import Path

import pytest

from moe2_pl.errors import MoE2Error
from moe2_pl.questions import lm_eval_questions, questions_from_config

pytest.importorskip("lm_eval")

CHOICE = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/quiz.jsonl, train: {folder}/shots.jsonl}}}}
test_split: test
training_split: train
fewshot_split: train
output_type: multiple_choice
description: "Answer the questions.\\n\\n"
doc_to_text: "Q: {{{{ask}}}}\\nA:"
doc_to_choice: options
doc_to_target: right
num_fewshot: {shots}
{more}
"""
WRITTEN = """
task: written
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/sums.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{ask}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n\\n", "Q:"], do_sample: false, max_gen_toks: 40}}
filter_list:
  - name: strict
    filter:
      - {{function: regex, regex_pattern: "#### (-?[0-9.,]+)"}}
      - {{function: take_first}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true, regexes_to_ignore: [","]}}
{more}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of harness tasks of our own; the harness's thousands of tasks are not indexed."""
    from lm_eval.tasks import TaskManager

    monkeypatch.setattr(TaskManager.__init__, "__defaults__", _without_defaults(TaskManager))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [
        {"ask": "Which is a fruit?", "options": ["plum", "desk"], "right": 0, "wrong": 0},
        {"ask": "Which is a desk?", "options": ["plum", "desk"], "right": 1, "wrong": 7},
        {"ask": "Which is a tool?", "options": ["saw", "rain"], "right": 0, "wrong": 0},
    ]
    shots = [{"ask": f"Which is {k}?", "options": [str(k), "none"], "right": 0} for k in range(6)]
    sums = [{"ask": "Q: 600 + 634?", "answer": "1,234"}, {"ask": "Q: 1 + 1?", "answer": "2"}]
    for name, content in (("quiz", rows), ("shots", shots), ("sums", sums)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    for name, shown in (("quiz", 0), ("shown", 2)):
        text = CHOICE.format(name=name, folder=tmp_path, shots=shown, more="")
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "written.yaml").write_text(WRITTEN.format(folder=tmp_path, more=""))
    return tmp_path


def _without_defaults(manager: type) -> tuple[object, ...]:
    from inspect import signature

    parameters = list(signature(manager.__init__).parameters.values())[1:]
    return tuple(False if p.name == "include_defaults" else p.default for p in parameters)


def reference(folder: Path, name: str):
    """The harness's own requests for the task, as its evaluator builds them."""
    from lm_eval.tasks import TaskManager

    task = TaskManager(include_path=str(folder)).load(name)["tasks"][name]
    task.set_fewshot_seed(1234)
    task.build_all_requests(limit=None, rank=0, world_size=1)
    return task


@pytest.mark.parametrize("name", ["quiz", "shown"])
def test_contexts_and_continuations_are_the_harnesss_own(folder: Path, name: str):
    questions, tasks = lm_eval_questions(name, category="tutor", include_path=folder)
    asked = [tasks[q.task].request(q) for q in questions]
    pairs = [(r.context, option) for r in asked for option in r.options]
    assert pairs == [instance.args for instance in reference(folder, name).instances]
    assert [q.label for q in questions] == [0, 1, 0]
    assert questions[0].text == "Q: Which is a fruit?\nA:"
    assert questions[0].preface.startswith("Answer the questions.")
    assert ("Q: Which is 1" in questions[0].preface or "?\nA:" in questions[0].preface) == (name == "shown")


@pytest.mark.parametrize("normalise", ["none", "characters"])
def test_choices_are_scored_as_the_harness_scores_them(folder: Path, normalise: str):
    questions, tasks = lm_eval_questions("quiz", category="tutor", include_path=folder, normalise=normalise)
    task = reference(folder, "quiz")
    metric = {"none": "acc", "characters": "acc_norm"}[normalise]
    for log_prob in ((-2.0, -2.1), (-4.0, -3.0), (-3.0, -3.0), (-8.0, -9.0)):
        for q, doc in zip(questions, task.eval_docs, strict=True):
            theirs = task.process_results(doc, [(value, False) for value in log_prob])[metric]
            assert tasks["quiz"].score_options(q, log_prob) == theirs


def test_written_answers_go_through_the_harnesss_filters_and_metrics(folder: Path):
    questions, tasks = lm_eval_questions("written", category="tutor", include_path=folder)
    asked = tasks["written"].request(questions[0])
    assert (asked.text, asked.max_tokens, asked.stop) == ("Q: 600 + 634?", 40, ("\n\n", "Q:"))
    texts = ["so #### 1234", "#### 1,234 or #### 5", "1234", "#### 2", "", "#### 1 then #### 1234"]
    assert [tasks["written"].score_text(questions[0], text) for text in texts] == [1, 1, 0, 0, 0, 0]
    assert tasks["written"].score_text(questions[1], "#### 2") == 1.0


def test_the_harness_is_a_source_of_a_set(folder: Path):
    questions, tasks = questions_from_config(
        [
            {
                "source": "lm_eval",
                "tasks": ["quiz", "written"],
                "category": "tutor",
                "include_path": str(folder),
                "limit": 1,
            }
        ]
    )
    assert [(q.id, q.family) for q in questions] == [("quiz/0", "quiz"), ("written/0", "written")]
    assert set(tasks) == {"quiz", "written"}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("quiz", "doc_to_target: wrong", "question 1: the answer 7 is not one of the options"),
        ("quiz", "output_type: loglikelihood", "of the kind 'loglikelihood'; supported are"),
        ("written", "generation_kwargs: {do_sample: true}", "samples its answers"),
    ],
)
def test_a_harness_task_that_cannot_be_asked(folder: Path, file: str, content: str, message: str):
    path = folder / f"{file}.yaml"
    key = content.partition(":")[0]
    lines = [line for line in path.read_text().splitlines() if not line.startswith(key)]
    path.write_text("\n".join([*lines, content]))
    with pytest.raises(MoE2Error, match=message):
        lm_eval_questions(file, category="tutor", include_path=folder)


def test_names_and_folders_that_are_not_there(folder: Path):
    with pytest.raises(MoE2Error, match="unknown lm_eval task 'quizz': did you mean 'quiz'"):
        lm_eval_questions("quizz", category="tutor", include_path=folder)
    with pytest.raises(MoE2Error, match="there is no folder"):
        lm_eval_questions("quiz", category="tutor", include_path=folder / "none")
    with pytest.raises(MoE2Error, match="limit is 0"):
        lm_eval_questions("quiz", category="tutor", include_path=folder, limit=0)
