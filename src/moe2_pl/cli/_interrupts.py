"""What Ctrl-C must not lose."""

from collections.abc import Callable
from typing import TypeVar

__all__ = ["not_lost"]

T = TypeVar("T")


def not_lost(work: Callable[[], T], on_interrupt: Callable[[], None]) -> T:
    """The result of a second or two of work that follows minutes of it: Ctrl-C begins it anew, once.

    Args:
        work: what to do; doing it twice must be the same as once.
        on_interrupt: called if it was interrupted.

    Raises:
        KeyboardInterrupt: interrupted twice.
    """
    try:
        return work()
    except KeyboardInterrupt:
        on_interrupt()
        return work()
