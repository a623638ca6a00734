"""A set of questions from configuration."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from moe2_pl.errors import MoE2Error
from moe2_pl.questions import questions_from_config

SKILLS = {
    "source": "skills",
    "skills": {"code": 3, "logic": 2},
    "seed": 0,
    "category": "coder",
    "task": {"name": "s"},
}


def test_sources_are_joined_and_bring_their_tasks(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"ask": "Which?", "options": ["plum", "desk"], "right": "B"}) + "\n")
    columns = {"text": "ask", "options": "options", "label": "right"}
    questions, tasks = questions_from_config(
        [
            SKILLS,
            {"source": "skills", "skills": {"units": 4}, "seed": 0, "category": "cook", "task": "s"},
            {
                "source": "file",
                "path": str(file),
                "columns": columns,
                "category": "cook",
                "task": {"name": "quiz", "format": "letter"},
            },
        ]
    )
    assert [(q.category, q.family, q.task) for q in questions[4:]] == [
        ("coder", "code", "s"), *[("cook", "units", "s")] * 4, ("cook", "", "quiz"),
    ]  # fmt: skip
    assert {name: task.format for name, task in tasks.items()} == {"s": "cloze", "quiz": "letter"}
    assert len({q.id for q in questions}) == 10


def test_no_skill_question_is_asked_in_two_applications():
    entries = [{**SKILLS, "skills": {"weekdays": 300}, "category": name} for name in ("a", "b", "c")]
    questions, _ = questions_from_config(entries)
    assert len({q.text for q in questions}) == 900


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "questions is empty"),
        ([{"skills": {}}], r"questions\[0\] has no source"),
        ([{**SKILLS, "source": "skill"}], r"source of questions\[0\] 'skill': did you mean 'skills'"),
        ([{**SKILLS, "sed": 0}], r"key of questions\[0\] \(skills\) 'sed': did you mean 'seed'"),
        ([{"source": "skills", "skills": {"code": 1}}], r"questions\[0\] \(skills\) lacks seed, category"),
        ([{**SKILLS, "task": "t"}], r"unknown task of questions\[0\] 't': Known: none"),
        ([{**SKILLS, "task": None}], "expected a mapping such as"),
        ([SKILLS, {**SKILLS, "task": {"name": "s", "format": "letter"}}], "defines the task 's' otherwise"),
        ([{**SKILLS, "task": {"name": "s", "formt": "letter"}}], "did you mean 'format'"),
    ],
)
def test_what_a_set_of_questions_cannot_be(config, message):
    with pytest.raises(MoE2Error, match=message) as caught:
        questions_from_config(config)
    assert "\n" not in str(caught.value)


def test_questions_are_read_without_loading_torch_or_any_library_of_a_source():
    code = (
        "import sys; from moe2_pl.questions import questions_from_config as q; "
        "q([{'source': 'skills', 'skills': {'code': 2}, 'seed': 0, 'category': 'c', 'task': {'name': 's'}}]); "
        "print(sorted({'torch', 'transformers', 'datasets', 'lm_eval', 'pyarrow'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"
