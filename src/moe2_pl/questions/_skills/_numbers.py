"""Skills about numbers: arithmetic, sequences, units, Roman numerals."""

from moe2_pl.questions._skills._options import Drawn, numbers_near
from moe2_pl.questions._stream import Stream

__all__ = ["arithmetic", "roman", "sequences", "units"]


def arithmetic(stream: Stream) -> Drawn:
    """Sums, differences and products of small numbers."""
    kind = stream.below(4)
    if kind == 0:
        a, b = stream.between(11, 89), stream.between(11, 89)
        sum_, right, large = f"{a} + {b}", a + b, 10
    elif kind == 1:
        b, rest = stream.between(11, 60), stream.between(14, 79)
        sum_, right, large = f"{b + rest} - {b}", rest, 10
    elif kind == 2:
        a, b = stream.between(4, 12), stream.between(6, 19)
        sum_, right, large = f"{a} * {b}", a * b, a
    else:
        a, b, c = stream.between(3, 9), stream.between(5, 9), stream.between(11, 49)
        sum_, right, large = f"{a} * {b} + {c}", a * b + c, 10
    small = stream.choice([d for d in (1, 2, 3) if d != large])
    ask = stream.choice(("What is {}?", "Calculate {}.", "Work out the value of {}."))
    return Drawn(ask.format(sum_), str(right), numbers_near(stream, right, small, large))


def sequences(stream: Stream) -> Drawn:
    """The next number of a row that grows by a rule."""
    kind, length = stream.below(5), stream.between(4, 5)
    start, step = stream.between(14, 60), stream.between(3, 12)
    if kind == 0:
        row = [start + step * k for k in range(length + 1)]
    elif kind == 1:
        row = [start + step * (length + 1 - k) for k in range(length + 1)]
    elif kind == 2:
        first, factor = stream.between(2, 9), stream.between(2, 3)
        row = [first * factor**k for k in range(length + 1)]
    elif kind == 3:
        row = [start + step * k + k * (k - 1) // 2 for k in range(length + 1)]
    else:
        row = [stream.between(4, 15), stream.between(4, 15)]
        while len(row) <= length:
            row.append(row[-1] + row[-2])
    right = row.pop()
    large = abs(row[-1] - row[-2]) if kind < 2 else stream.between(4, 9)
    small = stream.choice([d for d in (1, 2, 3) if d != large])
    shown = ", ".join(map(str, row))
    ask = stream.choice(
        (
            "Which number comes next: {}, ...?",
            "The sequence is {}. What is its next number?",
            "Continue the sequence with one number: {}, ...",
        )
    )
    return Drawn(ask.format(shown), str(right), numbers_near(stream, right, small, large))


# large unit, small unit, small ones in a large one, near miss
_UNITS = (
    ("metres", "centimetres", 100, 10),
    ("centimetres", "millimetres", 10, 5),
    ("kilometres", "metres", 1000, 100),
    ("kilograms", "grams", 1000, 100),
    ("litres", "millilitres", 1000, 100),
    ("hours", "minutes", 60, 10),
    ("minutes", "seconds", 60, 10),
    ("days", "hours", 24, 4),
    ("weeks", "days", 7, 1),
    ("years", "months", 12, 2),
    ("feet", "inches", 12, 2),
    ("yards", "feet", 3, 1),
    ("pounds", "ounces", 16, 2),
    ("gallons", "pints", 8, 2),
    ("dozens", "pieces", 12, 2),
    ("euros", "cents", 100, 10),
)


def units(stream: Stream) -> Drawn:
    """How many small units a number of large ones is, or the other way about."""
    large, small, factor, near = stream.choice(_UNITS)
    amount = stream.between(6, 60)
    if stream.below(3):
        ask = stream.choice(("How many {s} are {n} {l}?", "Convert {n} {l} to {s}."))
        right, wrong = amount * factor, numbers_near(stream, amount * factor, near, factor)
        return Drawn(ask.format(s=small, n=amount, l=large), f"{right} {small}", _with(wrong, small))
    ask = stream.choice(("How many {l} are {n} {s}?", "Convert {n} {s} to {l}."))
    wrong = numbers_near(stream, amount, 1, stream.between(2, 4))
    return Drawn(ask.format(s=small, n=amount * factor, l=large), f"{amount} {large}", _with(wrong, large))


_NUMERALS = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"),
    (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip


def roman(stream: Stream) -> Drawn:
    """The number that a Roman numeral stands for, or the numeral of a number."""
    number = stream.between(40, 2899)
    wrong = numbers_near(stream, number, stream.choice((1, 2, 4)), stream.choice((10, 20, 5)))
    if stream.below(2):
        ask = stream.choice(("Which number is the Roman numeral {}?", "What does {} mean in Roman numerals?"))
        return Drawn(ask.format(_numeral(number)), str(number), wrong)
    ask = stream.choice(("How is {} written in Roman numerals?", "Write {} as a Roman numeral."))
    one, other, both = (_numeral(int(text)) for text in wrong)
    return Drawn(ask.format(number), _numeral(number), (one, other, both))


def _numeral(number: int) -> str:
    written = ""
    for value, letters in _NUMERALS:
        while number >= value:
            written, number = written + letters, number - value
    return written


def _with(numbers: tuple[str, str, str], unit: str) -> tuple[str, str, str]:
    one, other, both = (f"{number} {unit}" for number in numbers)
    return one, other, both
