"""Generated questions: the labelled option is right, and nothing but the question gives it away."""

import contextlib
import datetime
import io
import re
from collections import Counter
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe2_pl.errors import MoE2Error
from moe2_pl.questions import SKILLS, Question, skill_questions

SEEDS = st.integers(0, 10**9)
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()  # noqa: SIM905
ORDINALS = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4}


def drawn(skill: str, count: int = 8, seed: int = 0, part: str = "evaluate") -> list[Question]:
    return skill_questions({skill: count}, seed=seed, category="probe", part=part)


# Each answers a question from its text alone, by other means than the generator's.


def alphabet(q: Question) -> str:
    by = int(re.search(r"(\d) place", q.text)[1]) * (1 if "after" in q.text else -1)
    pair = re.findall(r"\b[A-Z]\b", q.text)
    return " ".join(chr(ord(letter) + by) for letter in pair)


def arithmetic(q: Question) -> str:
    return str(eval(re.search(r"\d[\d+*\- ]*\d", q.text)[0]))


def clock(q: Question) -> str:
    hour, minute = map(int, re.search(r"(\d\d):(\d\d)", q.text).groups())
    parts = {unit: int(n) for n, unit in re.findall(r"(\d+) (hour|minute)", q.text)}
    span = datetime.timedelta(hours=parts.get("hour", 0), minutes=parts.get("minute", 0))
    start = datetime.datetime(2024, 1, 15, hour, minute)
    back = "ago" in q.text or "begin" in q.text
    return (start - span if back else start + span).strftime("%H:%M")


def code(q: Question) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(q.text.partition("\n")[2], {})
    return printed.getvalue().strip()


def initials(q: Question) -> str:
    words = re.search(r"((?:[a-z]+, )+[a-z]+)", q.text)[1]
    return "".join(word[-1 if " last " in q.text else 0] for word in words.split(", ")).upper()


def letters(q: Question) -> str:
    row = re.search(r"(?:[A-Z] ){8,}[A-Z]", q.text)[0]
    letter = re.search(r"(?:letter|does) ([A-Z])\b", q.text)[1]
    return str(row.split().count(letter))


def logic(q: Question) -> str:
    values = {name: truth == "true" for name, truth in re.findall(r"\b([pqr]) is (true|false)", q.text)}
    found, depth = [""], 0
    for sign in q.text:  # the two outermost brackets
        depth += (sign == "(") - (sign == ")")
        found[-1] += sign if depth else ""
        if not depth and sign == ")":
            found.append("")
    return " and ".join(str(eval(expression + ")", values)).lower() for expression in found[:2])


def membership(q: Question) -> str:
    first, second = (set(items.split(", ")) for items in re.findall(r": ([a-z, ]+)\.", q.text))
    wanted = {
        "both": (True, True),
        "first": (True, False),
        "second": (False, True),
        "neither": (False, False),
    }
    kind = re.search(r"in (?:the )?(both|first|second|neither)", q.text)[1]
    [found] = [o for o in q.options if (o in first, o in second) == wanted[kind]]
    return found


def ordering(q: Question) -> str:
    pairs = re.findall(r"(\w+) is \w+ than (\w+)\.", q.text)
    people = sorted({name for pair in pairs for name in pair})
    [order] = [p for p in permutations(people) if all(p.index(a) < p.index(b) for a, b in pairs)]
    asked = q.text.rpartition("Who is ")[2]
    place = 1 if "second" in asked else 0
    return order[place if re.search("oldest|tallest|fastest|richest", asked) else 3 - place]


def reversal(q: Question) -> str:
    return "".join(reversed(re.search(r"'(\w+)'", q.text)[1]))


def _roman(numeral: str) -> int:
    values = [dict(zip("IVXLCDM", (1, 5, 10, 50, 100, 500, 1000), strict=True))[letter] for letter in numeral]
    return sum(-v if v < max(values[k:]) else v for k, v in enumerate(values))


def roman(q: Question) -> str:
    number = re.search(r"\d+", q.text)
    if number is None:
        return str(_roman(re.search(r"\b[MDCLXVI]+\b", q.text)[0]))
    [found] = [o for o in q.options if _roman(o) == int(number[0])]
    return found


def sequences(q: Question) -> str:
    row = list(map(int, re.findall(r"\d+", q.text)))
    steps = [b - a for a, b in pairwise(row)]
    if len(set(steps)) == 1:
        return str(row[-1] + steps[0])
    if all(a + b == c for a, b, c in zip(row, row[1:], row[2:], strict=False)):
        return str(row[-1] + row[-2])
    if all(b * row[0] == a * row[1] for a, b in pairwise(row)):
        return str(row[-1] * row[1] // row[0])
    assert {b - a for a, b in pairwise(steps)} == {1}
    return str(row[-1] + steps[-1] + 1)


def sorting(q: Question) -> str:
    items = re.search(r"((?:\w+, ){4}\w+)", q.text)[1].split(", ")
    order = sorted(items, key=lambda item: int(item) if item.isdigit() else item)
    if "from the largest" in q.text:
        order.reverse()
    return order[ORDINALS[re.search(r"(\w+)\?$", q.text)[1]]]


SIZES = {
    "metres": 1000, "centimetres": 10, "millimetres": 1, "kilometres": 10**6, "kilograms": 1000, "grams": 1,
    "litres": 1000, "millilitres": 1, "hours": 3600, "minutes": 60, "seconds": 1, "days": 86400,
    "weeks": 604800, "years": 12, "months": 1, "feet": 12, "inches": 1,
    "yards": 36, "pounds": 16, "ounces": 1, "gallons": 8, "pints": 1,
    "dozens": 12, "pieces": 1, "euros": 100, "cents": 1,
}  # fmt: skip


def units(q: Question) -> str:
    number, given = re.search(r"(\d+) (\w+)", q.text).groups()
    wanted = next(u for u in re.findall(r"[a-z]+", q.text) if u in SIZES and u != given)
    return f"{int(number) * SIZES[given] // SIZES[wanted]} {wanted}"


def weekdays(q: Question) -> str:
    day = DAYS.index(re.search("|".join(DAYS), q.text)[0])
    numbers = list(map(int, re.findall(r"\d+", q.text)))
    by = numbers[0] * (-1 if " ago" in q.text else 1) if len(numbers) == 1 else numbers[1] - numbers[0]
    return DAYS[(datetime.date(2024, 1, 1) + datetime.timedelta(7000 + day + by)).weekday()]


COMPUTED = {
    function.__name__: function
    for function in (
        alphabet, arithmetic, clock, code, initials, letters, logic, membership, ordering, reversal, roman,
        sequences, sorting, units, weekdays,
    )
}  # fmt: skip


def test_every_skill_is_computed_here_too():
    assert set(COMPUTED) == set(SKILLS)
    assert len(SKILLS) >= 10


@pytest.mark.parametrize("skill", SKILLS)
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_the_labelled_option_is_the_computed_answer(skill: str, seed: int):
    for q in drawn(skill, seed=seed):
        assert q.options[q.label] == COMPUTED[skill](q), q


@pytest.mark.parametrize("skill", SKILLS)
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_options_are_four_different_ones_of_one_form(skill: str, seed: int):
    for q in drawn(skill, seed=seed):
        assert len(set(q.options)) == 4
        assert len({re.sub(r"\d+", "0", o) if skill in ("units", "clock") else "" for o in q.options}) == 1
        assert not any(o.startswith(("-", " ")) or not o for o in q.options)


def guesses(options: tuple[str, ...]) -> dict[str, int]:
    """Guesses of somebody who has not read the question: by length, by order, by nearness to the others."""

    def likeness(k: int) -> float:
        return sum(a == b for other in options for a, b in zip(options[k], other, strict=False))

    numbers = [int(re.sub(r"\D", "", o) or 0) for o in options]
    key = numbers if len(set(numbers)) == 4 else list(options)
    rank = sorted(range(4), key=key.__getitem__)
    return {
        "longest": max(range(4), key=lambda k: len(options[k])),
        "shortest": min(range(4), key=lambda k: len(options[k])),
        "most alike": max(range(4), key=likeness),
        "least alike": min(range(4), key=likeness),
        **{f"rank {r}": rank[r] for r in range(4)},
    }


@pytest.mark.parametrize("skill", SKILLS)
def test_the_right_option_is_not_to_be_guessed_without_the_question(skill: str):
    n = 1200
    questions = drawn(skill, n, seed=1, part="train")
    labels = Counter(q.label for q in questions)
    # Five standard deviations of a fair draw of 1 in 4.
    limit = n / 4 + 5 * (n * 3 / 16) ** 0.5
    assert max(labels.values()) < limit
    right: Counter[str] = Counter()
    for q in questions:
        for name, k in guesses(q.options).items():
            right[name] += k == q.label
    assert max(right.values()) < limit, right


def test_a_seed_gives_the_same_questions_everywhere():
    # Written down once: other machines and other versions of Python must draw the same.
    found = skill_questions(dict.fromkeys(SKILLS, 20), seed=3, category="probe")
    assert found == skill_questions(dict.fromkeys(SKILLS, 20), seed=3, category="probe")
    assert digest(found) == DIGEST
    assert {q.text for q in found}.isdisjoint(
        q.text for q in skill_questions({"code": 20}, seed=4, category="probe")
    )


def digest(questions: list[Question]) -> str:
    from hashlib import sha256

    lines = [f"{q.family}|{q.text}|{'|'.join(q.options)}|{q.label}" for q in questions]
    return sha256("\n".join(lines).encode()).hexdigest()


DIGEST = "b18719262ac261e3077591ebf8da9fbf1726165db41f5c0b44742da38004326b"


def test_skills_are_dealt_out_in_turn_as_often_as_asked():
    found = skill_questions({"code": 30, "units": 60, "logic": 30}, seed=0, category="probe")
    assert Counter(q.family for q in found) == {"code": 30, "units": 60, "logic": 30}
    assert Counter(q.family for q in found[:40]) == {"code": 10, "units": 20, "logic": 10}


def test_a_skills_questions_do_not_depend_on_the_other_skills():
    alone = drawn("code", 10)
    among = skill_questions({"logic": 5, "code": 10}, seed=0, category="probe")
    assert [q.text for q in among if q.family == "code"] == [q.text for q in alone]


@pytest.mark.parametrize("skill", SKILLS)
def test_nothing_is_asked_twice_and_training_never_meets_evaluation(skill: str):
    train, evaluate = (
        {q.text for q in drawn(skill, 400, seed, part)} for seed, part in ((5, "train"), (6, "evaluate"))
    )
    assert len(train) == len(evaluate) == 400
    assert not train & evaluate


def test_texts_that_were_asked_elsewhere_are_left_out():
    first = drawn("weekdays", 50)
    second = skill_questions({"weekdays": 50}, seed=0, category="probe", exclude=[q.text for q in first])
    assert not {q.text for q in first} & {q.text for q in second}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skills": {"arithmetics": 1}}, "unknown skill 'arithmetics': did you mean 'arithmetic'"),
        ({"skills": {"code": 0}}, "skill 'code' has count 0"),
        ({"skills": {}}, "no skills are named"),
        ({"part": "test"}, "unknown part of the questions 'test'"),
        ({"skills": {"roman": 5000}}, "skill 'roman' has no more different questions"),
    ],
)
def test_what_cannot_be_drawn(options, message):
    with pytest.raises(MoE2Error, match=message):
        skill_questions(**{"skills": {"code": 1}, "seed": 0, "category": "probe", **options})
