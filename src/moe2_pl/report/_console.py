"""Where tables are printed: standard output, never wider than people read."""

from rich.console import Console

__all__ = ["sized"]

_WIDTH = 100


def sized(console: Console | None) -> Console:
    """A console of 100 columns at most; without one given standard output, plain text when it is not a terminal."""
    out = console or Console(highlight=False)
    if not out.is_terminal or out.width > _WIDTH:
        out.width = _WIDTH
    return out
