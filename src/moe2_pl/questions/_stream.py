"""Random draws that are the same for a seed on every machine and in every version of Python.

Only ``random.Random.random()`` is promised to stay the same between versions, so everything here is made of it.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

__all__ = ["Stream"]

T = TypeVar("T")


class Stream:
    """A stream of draws.

    Args:
        seed: any text; equal texts give equal streams.

    Example:
        >>> Stream("0/arithmetic").sample("abcdef", 3)
        ['f', 'a', 'b']
    """

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)

    def below(self, n: int) -> int:
        """One of 0…n − 1."""
        return int(self._random.random() * n)

    def between(self, low: int, high: int) -> int:
        """One of low…high, both included."""
        return low + self.below(high - low + 1)

    def sign(self) -> int:
        """−1 or 1."""
        return 1 - 2 * self.below(2)

    def choice(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """``count`` of the items, in random order, none twice."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(count)]
