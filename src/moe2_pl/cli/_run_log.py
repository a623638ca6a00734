"""What the log in a run's folder gets beside the lines of loggers: what the terminal shows without them."""

import io
import logging
from collections.abc import Callable

__all__ = ["leave_in_log", "show"]


def show(what: str, printed: Callable[..., None], *values: object) -> None:
    """Print tables on standard output, and leave the same in the log: plain, and 100 columns wide.

    Args:
        what: they are, in a word.
        printed: prints them; takes ``console``, by default standard output.
        values: its arguments.
    """
    from rich.console import Console

    printed(*values)
    kept = io.StringIO()
    # Whatever the environment says of colours, a file has none.
    printed(*values, console=Console(file=kept, force_terminal=False, color_system=None, highlight=False))
    leave_in_log(f"{what}:\n{kept.getvalue().rstrip()}")


def leave_in_log(text: str, level: int = logging.INFO) -> None:
    """Leave a line, or several, in the run folder's log; nothing is printed."""
    log = logging.getLogger(__name__)
    record = log.makeRecord(log.name, level, __file__, 0, "%s", (text,), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
