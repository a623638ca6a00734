"""What a task puts to an expert, and what it makes of the answer."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe2_pl.errors import ConfigError, DataError, MoE2Error, UnknownNameError
from moe2_pl.questions import Choices, Prompt, Question, Task


def question(**changes) -> Question:
    values = {
        "text": "Which is a fruit?",
        "category": "assistant",
        "task": "quiz",
        "options": ("plum", "writing desk", "key"),
        "label": 0,
        "id": "q0",
    }
    return Question(**{**values, **changes})


def written(*answers: str) -> Question:
    return question(options=(), label=-1, answers=answers)


def twice(text: str, asked: Question) -> float:
    return 2.0 * (text == asked.answers[0])


def half(text: str, asked: Question) -> float:
    return 0.5


def test_cloze_continues_the_context_with_every_option():
    asked = Task("quiz").request(question())
    assert asked == Choices(
        "Question: Which is a fruit?\nAnswer:", (" plum", " writing desk", " key"), chat=False
    )


def test_letters_stand_before_the_options_and_are_what_is_weighed():
    task = Task("quiz", "letter", template="{text}\n{options}\nThe letter is", delimiter="", chat=True)
    context = "Which is a fruit?\nA. plum\nB. writing desk\nC. key\nThe letter is"
    assert task.request(question()) == Choices(context, ("A", "B", "C"), chat=True)


def test_a_written_answer_has_its_limits_from_the_task():
    task = Task("quiz", "generate", max_tokens=7, stop="\n")
    assert task.request(written("plum")) == Prompt("Question: Which is a fruit?\nAnswer:", 7, ("\n",))


def test_a_preface_stands_before_the_template():
    asked = Task("quiz", template="Q: {text}").request(question(preface="Q: 1 + 1? 2\n\n"))
    assert asked.context == "Q: 1 + 1? 2\n\nQ: Which is a fruit?"


@given(st.text(alphabet="{}textoptions01 \\$", min_size=1).filter(str.strip))
def test_braces_in_a_question_are_never_taken_for_the_templates(text: str):
    task = Task("quiz", "letter", template="<{text}|{options}> {other} {")
    assert task.request(question(text=text, options=("{text}", "b"))).context == (
        f"<{text}|A. {{text}}\nB. b> {{other}} {{"
    )


def test_length_normalisation_changes_the_choice_as_the_harness_does():
    # The harness: acc takes arg max of the sums, acc_norm of the sums by the characters of the options.
    asked, log_prob = question(label=1), (-2.0, -4.8, -3.0)
    assert Task("quiz").score_options(asked, log_prob) == 0.0
    assert Task("quiz", normalise="characters").score_options(asked, log_prob) == 1.0  # -.5, -.4, -1
    assert Task("quiz", normalise="tokens").score_options(asked, log_prob, (1, 2, 1)) == 0.0
    assert Task("quiz", normalise="tokens").score_options(asked, log_prob, (1, 3, 1)) == 1.0


def test_letters_are_one_character_long_whatever_they_stand_for():
    task = Task("quiz", "letter", normalise="characters")
    assert task.score_options(question(), (-2.0, -4.8, -3.0)) == 1.0


def test_of_equal_options_the_first_is_chosen():
    for label, expected in ((0, 1.0), (1, 0.0)):
        assert Task("quiz").score_options(question(label=label), (-1.0, -1.0, -2.0)) == expected


@given(st.lists(st.floats(-200, 0), min_size=3, max_size=3), st.sampled_from(["none", "characters"]))
def test_log_probabilities_are_a_distribution_in_the_order_of_the_weights(log_prob, normalise):
    asked = question()
    found = Task("quiz", normalise=normalise).option_log_prob(asked, log_prob)
    assert np.exp(found).sum() == pytest.approx(1)
    length = [len(o) if normalise == "characters" else 1 for o in asked.options]
    weights = np.array(log_prob) / length
    np.testing.assert_allclose(found - found[0], weights - weights[0], atol=1e-9)


def test_an_impossible_option_stays_impossible_and_does_not_spoil_the_others():
    found = Task("quiz").option_log_prob(question(), (-1.0, -math.inf, -1.0))
    assert found.tolist() == [pytest.approx(math.log(0.5)), -math.inf, pytest.approx(math.log(0.5))]


def test_a_question_that_was_too_long_scores_nothing_and_is_uniform():
    assert Task("quiz").score_options(question(), None) == 0.0
    assert np.exp(Task("quiz").option_log_prob(question(), None)).tolist() == pytest.approx([1 / 3] * 3)
    assert Task("quiz", "generate").score_text(written("plum"), None) == 0.0


@pytest.mark.parametrize(
    ("text", "answers", "expected"),
    [
        (" Plum.\n", ("plum",), 1.0),
        ("a  plum", ("a plum", "plum"), 1.0),
        ("-3", ("3",), 0.0),
        ("15", ("1.5",), 0.0),
        ("the plum", ("plum",), 0.0),
    ],
)
def test_exact_match_forgives_case_and_space_but_no_sign(text, answers, expected):
    assert Task("quiz", "generate").score_text(written(*answers), text) == expected


def test_f1_is_the_best_over_the_answers_as_squad_counts_it():
    task = Task("quiz", "generate", scorer="f1")
    assert task.score_text(written("desk", "ripe plum"), "The ripe, ripe Plum!") == pytest.approx(4 / 5)
    assert task.score_text(written("desk"), "plum") == 0.0


def test_a_function_scores_by_its_name_or_as_itself():
    asked = written("plum")
    assert Task("quiz", "generate", scorer=half).score_text(asked, "x") == 0.5
    task = Task("quiz", "generate", scorer="moe2_pl.questions._scorers:exact_match")
    assert task.score_text(asked, "plum") == 1.0


def test_a_scorer_outside_0_to_1_is_refused_with_the_value():
    with pytest.raises(
        DataError, match=r"scorer 'twice' of task 'quiz' gave 2\.0 for question 'q0'; expected .* \[0, 1\]"
    ):
        Task("quiz", "generate", scorer=twice).score_text(written("plum"), "plum")


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (
            {"name": "q", "format": "close"},
            UnknownNameError,
            "format of task 'q' 'close': did you mean 'cloze'",
        ),
        ({"name": "q", "normalise": "token"}, UnknownNameError, "did you mean 'tokens'"),
        ({"name": "q", "scorer": "exact"}, UnknownNameError, "did you mean 'exact_match'"),
        ({"name": "q", "scorer": "nowhere_at_all:f"}, ConfigError, "cannot import 'nowhere_at_all'"),
        (
            {"name": "q", "scorer": "moe2_pl.questions._scorers:exact_mach"},
            UnknownNameError,
            "did you mean 'exact_match'",
        ),
        ({"name": "q", "scorer": "math:pi"}, ConfigError, "'math:pi' is 3.14.*; expected a function"),
        ({"name": "q", "template": "Answer:"}, ConfigError, r"'Answer:'; it lacks \{text\}"),
        ({"name": "q", "template": "{text} {options}"}, ConfigError, "format 'cloze' has no place for"),
        ({"name": "q", "format": "letter", "template": "{text}"}, ConfigError, "format 'letter' needs"),
        ({"name": "q", "max_tokens": 0}, ConfigError, "max_tokens of task 'q' is 0"),
        (
            {"name": "q", "normalize": "none"},
            UnknownNameError,
            "key of task 'q' 'normalize': did you mean 'n",
        ),
        ({"format": "cloze"}, ConfigError, "has no name"),
    ],
)
def test_what_a_task_cannot_be(config, error, message):
    with pytest.raises(error, match=message) as caught:
        Task.from_mapping(config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("task", "asked", "message"),
    [
        (
            Task("quiz"),
            written("plum"),
            r"weighs options, and question 'q0' \('Which is a fruit\?'\) has none",
        ),
        (
            Task("quiz", "generate"),
            question(),
            r"has answers written, and question 'q0' \('Which is a fruit\?'\) has none",
        ),
        (Task("quiz", "letter"), question(options=tuple(map(str, range(27)))), "27 options; letters name 26"),
    ],
)
def test_a_question_that_the_format_cannot_ask(task, asked, message):
    with pytest.raises(MoE2Error, match=message):
        task.request(asked)


@pytest.mark.parametrize(
    ("log_prob", "tokens", "message"),
    [
        ((-1.0, -2.0), None, r"3 options, and log_prob the shape \[2\]"),
        ((-1.0, math.nan, -2.0), None, "none may be NaN"),
        ((-math.inf,) * 3, None, "one must be finite"),
        ((-1.0, -2.0, -3.0), None, "normalises by tokens; tokens of question 'q0' are None"),
        ((-1.0, -2.0, -3.0), (1, 0, 1), "expected 3 counts"),
    ],
)
def test_log_likelihoods_that_do_not_fit_are_refused(log_prob, tokens, message):
    with pytest.raises(DataError, match=message):
        Task("quiz", normalise="tokens").score_options(question(), log_prob, tokens)
