"""Skills about letters and words: reversal, counting, the alphabet, initials, sorting."""

from moe2_pl.questions._skills._options import Drawn, corners, swapped
from moe2_pl.questions._skills._words import NOUNS, invented
from moe2_pl.questions._stream import Stream

__all__ = ["alphabet", "initials", "letters", "reversal", "sorting"]

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PLACES = ("first", "second", "third", "fourth", "fifth")


def reversal(stream: Stream) -> Drawn:
    """A word spelled backwards."""
    word = invented(stream, stream.between(3, 4))
    while len(set(word)) < 5:
        word = invented(stream, 3)
    ask = stream.choice(
        ("Write '{}' backwards.", "What is '{}' spelled backwards?", "Reverse the letters of '{}'.")
    )
    right = word[::-1]
    return Drawn(ask.format(word), right, swapped(stream, right))


def letters(stream: Stream) -> Drawn:
    """How often a letter stands in a row of letters."""
    # Options come first and any of them is the answer, so that they say nothing about it.
    right, *others = stream.sample(range(1, 8), 4)
    letter = stream.choice(_ALPHABET)
    rest = [a for a in _ALPHABET if a != letter]
    row = [letter] * right + [stream.choice(rest) for _ in range(stream.between(9, 11) - right)]
    shown = " ".join(stream.sample(row, len(row)))
    ask = stream.choice(
        (
            "How often does the letter {letter} stand in: {row}?",
            "Count the letter {letter} in this row: {row}",
            "{row} - how many times does {letter} occur?",
        )
    )
    one, other, third = map(str, others)
    return Drawn(ask.format(letter=letter, row=shown), str(right), (one, other, third))


def alphabet(stream: Stream) -> Drawn:
    """Two letters moved along the alphabet."""
    by, after = stream.between(1, 4), stream.below(2)
    shift = by if after else -by
    # at least two from both ends, before and after: near misses never leave the alphabet
    first, second = (stream.between(max(1, 1 - shift), min(24, 24 - shift)) for _ in range(2))
    right = _ALPHABET[first + shift] + " " + _ALPHABET[second + shift]
    places = f"{by} place{'s' * (by > 1)} {'after' if after else 'before'}"
    ask = stream.choice(
        (
            "Which letters stand {p} {a} and {b} in the alphabet?",
            "In the alphabet, what comes {p} {a}, and what {p} {b}?",
        )
    )
    one, other = stream.sign(), stream.sign()
    wrong = corners(
        right, lambda pair: _moved(pair[0], one) + pair[1:], lambda pair: pair[:2] + _moved(pair[2], other)
    )
    return Drawn(ask.format(p=places, a=_ALPHABET[first], b=_ALPHABET[second]), right, wrong)


def initials(stream: Stream) -> Drawn:
    """The first or last letters of words, in order."""
    words = stream.sample(NOUNS, stream.between(4, 5))
    last = stream.below(2)
    found = [word[-1 if last else 0].upper() for word in words]
    while len(set(found)) < 4:
        words = stream.sample(NOUNS, len(words))
        found = [word[-1 if last else 0].upper() for word in words]
    ask = stream.choice(
        (
            "Take the {which} letter of each word: {words}. What do they make, in this order?",
            "Which letters do you get from the {which} letters of {words}?",
        )
    )
    text = ask.format(which="last" if last else "first", words=", ".join(words))
    return Drawn(text, "".join(found), swapped(stream, found))


def sorting(stream: Stream) -> Drawn:
    """Which of five words or numbers stands at a place once they are sorted."""
    place, numeric = stream.below(5), stream.below(2)
    if numeric:
        numbers = stream.sample(range(10, 100), 5)
        items, falling = [str(n) for n in numbers], bool(stream.below(2))
        order = [str(n) for n in sorted(numbers, reverse=falling)]
        way = "from the largest to the smallest" if falling else "from the smallest to the largest"
    else:
        items, way = stream.sample(NOUNS, 5), "alphabetically"
        order = sorted(items)
    kind = "numbers" if numeric else "words"
    ask = stream.choice(
        (
            "Sort these {kind} {way}: {items}. Which one is {place}?",
            "The {kind} {items} are put in order {way}. Which one comes {place}?",
        )
    )
    text = ask.format(kind=kind, way=way, items=", ".join(items), place=_PLACES[place])
    one, other, third = stream.sample(order[:place] + order[place + 1 :], 3)
    return Drawn(text, order[place], (one, other, third))


def _moved(letter: str, by: int) -> str:
    return _ALPHABET[_ALPHABET.index(letter) + by]
