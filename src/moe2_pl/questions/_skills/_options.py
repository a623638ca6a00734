"""Near misses that do not give the right option away.

The right option must not be the odd one out, nor the middle one, nor the longest. So the four options are the corners
of a square of two independent changes, and the right one is any of its corners: seen alone, all four are alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moe2_pl.questions._stream import Stream

__all__ = ["Drawn", "corners", "numbers_near", "swapped"]


@dataclass(frozen=True)
class Drawn:
    """A question as a skill draws it.

    Args:
        text: what is asked.
        right: the right option.
        wrong: three others.
    """

    text: str
    right: str
    wrong: tuple[str, str, str]


def corners(right: str, one: Callable[[str], str], other: Callable[[str], str]) -> tuple[str, str, str]:
    """The three other corners: one change, the other, both."""
    return one(right), other(right), other(one(right))


def numbers_near(
    stream: Stream, right: int, small: int, large: int, write: Callable[[int], str] = str
) -> tuple[str, str, str]:
    """Three numbers that differ by ``small``, ``large`` and both, each up or down at random.

    Example:
        >>> numbers_near(Stream("0"), 42, 1, 10)
        ('43', '32', '33')
    """
    a, b = stream.sign() * small, stream.sign() * large
    return write(right + a), write(right + b), write(right + a + b)


def swapped(stream: Stream, items: Sequence[str], join: str = "") -> tuple[str, str, str]:
    """Three orders of the items that differ by a swap, by another one, and by both.

    The swapped items are different ones, two and two; swaps undo themselves, so every order is a corner.
    """
    places = stream.sample(range(len(items)), len(items))
    pairs = [(i, j) for k, i in enumerate(places) for j in places[k + 1 :] if items[i] != items[j]]
    first = pairs[0]
    second = next(pair for pair in pairs if not set(pair) & set(first))

    def swap(order: Sequence[str], pair: tuple[int, int]) -> list[str]:
        i, j = pair
        found = list(order)
        found[i], found[j] = found[j], found[i]
        return found

    one, other = swap(items, first), swap(items, second)
    return join.join(one), join.join(other), join.join(swap(one, second))
