"""How long work shows where it stands, and what Ctrl-C must not lose."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

__all__ = ["Watch", "not_lost", "unwatched"]

T = TypeVar("T")

# Shows the progress of long work: takes what is done and how many steps there are; gives a function to call with how
# many are done and a remark.
Watch = Callable[[str, int], AbstractContextManager[Callable[[int, str], None]]]


def unwatched(what: str, total: int) -> AbstractContextManager[Callable[[int, str], None]]:
    """A :data:`Watch` that shows nothing."""
    return nullcontext(lambda done, remark: None)


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
