"""Skills about what follows: Boolean logic, order among people, membership in sets."""

from itertools import pairwise

from moe2_pl.questions._skills._options import Drawn
from moe2_pl.questions._skills._words import NAMES, NOUNS
from moe2_pl.questions._stream import Stream

__all__ = ["logic", "membership", "ordering"]


def logic(stream: Stream) -> Drawn:
    """The truth of two expressions over three named values."""
    values = {name: bool(stream.below(2)) for name in "pqr"}
    wanted = [bool(stream.below(2)) for _ in range(2)]
    expressions = []
    for truth in wanted:
        text, value = _expression(stream, values)
        while value != truth or text in expressions:
            text, value = _expression(stream, values)
        expressions.append(text)
    given = ", ".join(f"{name} is {'true' if value else 'false'}" for name, value in values.items())
    ask = stream.choice(
        (
            "{given}. What are ({a}) and ({b})?",
            "Evaluate ({a}), then ({b}), where {given}.",
        )
    )
    first, second = wanted
    right, one, other, both = (
        f"{_word(a)} and {_word(b)}" for a in (first, not first) for b in (second, not second)
    )
    text = ask.format(given=given, a=expressions[0], b=expressions[1])
    return Drawn(text, right, (one, other, both))


def _word(truth: bool) -> str:
    return "true" if truth else "false"


def _expression(stream: Stream, values: dict[str, bool]) -> tuple[str, bool]:
    """Two of the values, joined; how it is written and whether it holds."""
    one, other = (_literal(stream, name, values) for name in stream.sample(tuple(values), 2))
    if stream.below(2):
        return f"{one[0]} and {other[0]}", one[1] and other[1]
    return f"{one[0]} or {other[0]}", one[1] or other[1]


def _literal(stream: Stream, name: str, values: dict[str, bool]) -> tuple[str, bool]:
    return (name, values[name]) if stream.below(3) else (f"not {name}", not values[name])


# more, most, least
_SCALES = (
    ("older", "oldest", "youngest"),
    ("taller", "tallest", "shortest"),
    ("faster", "fastest", "slowest"),
    ("richer", "richest", "poorest"),
)


def ordering(stream: Stream) -> Drawn:
    """Who stands at a place of an order told in pairs."""
    people = stream.sample(NAMES, 4)
    more, most, least = stream.choice(_SCALES)
    told = [f"{a} is {more} than {b}." for a, b in pairwise(people)]
    place = stream.below(4)
    asked = (f"the {most}", f"the second {most}", f"the second {least}", f"the {least}")[place]
    text = f"{' '.join(stream.sample(told, 3))} Who is {asked}?"
    one, other, third = (name for name in people if name != people[place])
    return Drawn(text, people[place], (one, other, third))


_PLACES = (("bag", "bags"), ("shelf", "shelves"), ("box", "boxes"), ("list", "lists"))


def membership(stream: Stream) -> Drawn:
    """Which thing is in both of two sets, in only one, or in neither."""
    words = stream.sample(NOUNS, 8)
    both, first, second, neither = words[:4]
    one, many = stream.choice(_PLACES)
    sets = [[both, first, *words[4:6]], [both, second, *words[6:8]]]
    shown = [", ".join(stream.sample(items, 4)) for items in sets]
    kind = stream.below(4)
    asked = (f"both {many}", f"the first {one} only", f"the second {one} only", f"neither {one}")[kind]
    text = f"First {one}: {shown[0]}. Second {one}: {shown[1]}. Which of the answers is in {asked}?"
    options = [both, first, second, neither]
    right = options.pop(kind)
    a, b, c = options
    return Drawn(text, right, (a, b, c))
