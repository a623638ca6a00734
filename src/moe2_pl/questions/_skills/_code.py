"""The skill of tracing code: small Python programs, run by an interpreter of the few statements they are made of."""

from dataclasses import dataclass
from operator import add, mul, sub

from moe2_pl.questions._skills._options import Drawn, numbers_near
from moe2_pl.questions._stream import Stream

__all__ = ["code"]

_OPERATORS = {"+": add, "-": sub, "*": mul}
_NAMES = ("a", "b", "n", "x", "y", "total")
Value = int | str


@dataclass(frozen=True)
class _Set:
    """``name = left sign right``, or ``name = left``."""

    name: str
    left: Value
    sign: str = ""
    right: Value = 0

    def lines(self) -> list[str]:
        return [
            f"{self.name} = {self.left} {self.sign} {self.right}"
            if self.sign
            else f"{self.name} = {self.left}"
        ]

    def run(self, values: dict[str, int]) -> None:
        left = _value(self.left, values)
        values[self.name] = _OPERATORS[self.sign](left, _value(self.right, values)) if self.sign else left


@dataclass(frozen=True)
class _Loop:
    """``for i in range(times)`` around one statement."""

    times: int
    body: _Set

    def lines(self) -> list[str]:
        return [f"for i in range({self.times}):", *(f"    {line}" for line in self.body.lines())]

    def run(self, values: dict[str, int]) -> None:
        for i in range(self.times):
            values["i"] = i
            self.body.run(values)


@dataclass(frozen=True)
class _If:
    """``if name > limit`` around one statement, and another one otherwise."""

    name: str
    limit: int
    then: _Set
    otherwise: _Set

    def lines(self) -> list[str]:
        inside = [[f"    {line}" for line in part.lines()] for part in (self.then, self.otherwise)]
        return [f"if {self.name} > {self.limit}:", *inside[0], "else:", *inside[1]]

    def run(self, values: dict[str, int]) -> None:
        (self.then if values[self.name] > self.limit else self.otherwise).run(values)


_Statement = _Set | _Loop | _If


def code(stream: Stream) -> Drawn:
    """What a few lines of Python print."""
    while True:
        names = stream.sample(_NAMES, 2)
        program = _program(stream, names[0], names[1])
        values: dict[str, int] = {}
        for statement in program:
            statement.run(values)
        right = values[names[0]]
        if 14 <= right <= 150:
            break
    lines = [line for statement in program for line in statement.lines()] + [f"print({names[0]})"]
    ask = stream.choice(("What does this Python code print?", "What is the output of this Python program?"))
    wrong = numbers_near(stream, right, stream.between(1, 3), stream.between(4, 10))
    return Drawn("\n".join([ask, *lines]), str(right), wrong)


def _program(stream: Stream, x: str, y: str) -> list[_Statement]:
    start: list[_Statement] = [_Set(x, stream.between(2, 30)), _Set(y, stream.between(2, 12))]
    kind = stream.below(4)
    if kind == 0:
        return [*start, _change(stream, x, (y,)), _change(stream, y, (x,)), _change(stream, x, (y,))]
    if kind == 1:
        more: tuple[Value, ...] = (y, "i", 2, 3, 5)
        return [*start, _Loop(stream.between(2, 5), _Set(x, x, "+", stream.choice(more)))]
    if kind == 2:
        limit = stream.between(4, 28)
        branches = _Set(x, x, stream.choice("+*"), y), _Set(x, x, "+", stream.between(10, 40))
        order = stream.sample(branches, 2)
        return [*start, _If(x, limit, order[0], order[1]), _Set(x, x, "-", stream.between(1, 9))]
    return [start[1], _Set(x, y, "*", stream.between(2, 9)), _Set(y, x, "-", y), _Set(x, x, "+", y)]


def _change(stream: Stream, name: str, others: tuple[Value, ...]) -> _Set:
    sign = stream.choice("++-*")
    right = stream.choice((*others, stream.between(2, 9)))
    return _Set(name, name, sign, stream.between(2, 3) if sign == "*" else right)


def _value(value: Value, values: dict[str, int]) -> int:
    return values[value] if isinstance(value, str) else value
