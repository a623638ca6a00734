"""What a person at a terminal sees of long work, and what a log gets instead."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TextIO

from moe2_pl.cli._multirun import in_multirun, job_number

__all__ = ["ConsoleHandler", "somebody_watches", "watched"]

log = logging.getLogger(__name__)

# Between two lines where nobody watches a terminal.
_EVERY_S = 15.0


class ConsoleHandler(logging.StreamHandler[TextIO]):
    """Writes to what is standard output at the moment, so that lines go above a bar instead of into it.

    In a multirun each line begins with the number of its job, as Hydra writes it: ``#3``.

    Args:
        stream: not used; the configuration of every stream handler gives one.
    """

    def __init__(self, stream: object = None) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Standard output, which Rich replaces while a bar is shown."""
        return sys.stdout

    def format(self, record: logging.LogRecord) -> str:
        """The line, which the number of the job tells from those of other jobs."""
        number = job_number()
        return super().format(record) if number is None else f"#{number} {super().format(record)}"

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """End the run, as ``print`` does, where ``| head`` has read enough; logging would print a traceback a line."""
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            raise
        super().handleError(record)


def somebody_watches() -> bool:
    """Whether bars make sense: on a terminal, and not from several jobs at once."""
    return sys.stderr.isatty() and not in_multirun()


@contextmanager
def watched(what: str, total: int, done: int = 0) -> Iterator[Callable[[int, str], None]]:
    """Progress of long work: a bar where somebody watches, else a line every 15 s.

    Args:
        what: is done, in a word or two.
        total: how many there are.
        done: of them, before this began.

    Yields:
        A function to call with how many are done and a remark.
    """
    if somebody_watches():
        with _bar(what, total, done) as advance:
            yield advance
        return
    started = said = monotonic()

    def tick(now_done: int, remark: str) -> None:
        nonlocal said
        if monotonic() - said < _EVERY_S:
            return
        said = monotonic()
        left = ""
        if now_done > done:
            left = f"{(total - now_done) * (said - started) / (now_done - done):,.0f} s left"
        log.info("%s: %s", what, ", ".join(filter(None, (f"{now_done:,} of {total:,}", remark, left))))

    yield tick


@contextmanager
def _bar(what: str, total: int, done: int) -> Iterator[Callable[[int, str], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[remark]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    # What is printed goes above the bar, unless standard output is a file, where it stays.
    above = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=above, transient=True) as progress:
        bar = progress.add_task(what, total=total, completed=done, remark="")
        yield lambda now_done, remark: progress.update(bar, completed=now_done, remark=remark)
