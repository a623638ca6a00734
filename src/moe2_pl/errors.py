"""The errors a user can meet, under one base.

Every message is a single line that says what was wrong, the value, and what would be right;
the command line prints it and exits with status 1. Anything else that escapes is a defect of ours.
"""

import os
import sys
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "EndpointError",
    "InfeasibleBudgetError",
    "IntegrityError",
    "MoE2Error",
    "PoolError",
    "ProblemError",
    "StoreError",
    "UnknownNameError",
    "closest",
    "exit_status",
    "flushed",
    "reader_has_left",
]


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name``, most like its beginning, or that it abbreviates; None where none is near.

    Example:
        >>> closest("agx_orn", ["agx_orin_64gb", "agx_thor"])
        'agx_orin_64gb'
        >>> closest("ckpt", ["checkpoint", "certificate"])
        'checkpoint'
    """

    def likeness(other: str) -> float:
        beginning = other[: len(name) + 1]
        like = max(SequenceMatcher(None, name, part).ratio() for part in (other, beginning))
        return max(like, 0.6) if _abbreviates(name, other) else like

    best = max(known, key=likeness, default=None)
    return best if best is not None and likeness(best) >= 0.6 else None


def _abbreviates(name: str, other: str) -> bool:
    """Whether three letters or more begin the other name and stand in it in this order."""
    rest = iter(other)
    return len(name) >= 3 and name[0] == other[:1] and all(letter in rest for letter in name)


class MoE2Error(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(MoE2Error):
    """A configuration value that cannot be used."""


class PoolError(MoE2Error):
    """An expert pool or a device profile that contradicts itself."""


class DataError(MoE2Error):
    """Outputs whose content cannot be used: shapes, ranges, missing columns."""


class IntegrityError(DataError):
    """A file that is truncated, altered, or not of the expected format."""


class StoreError(DataError):
    """A store of outputs that cannot be read or written; what was finished is kept."""


class EndpointError(MoE2Error):
    """A server that gives no usable answer, however often it is asked."""


class CheckpointError(MoE2Error):
    """A checkpoint that cannot be read or does not fit the pool."""


class ProblemError(MoE2Error):
    """A selection problem with invalid arrays."""


class InfeasibleBudgetError(MoE2Error):
    """No subset meets the budget.

    Args:
        message: why not, and what would do.
        short: what would do alone, for one line among many; by default the message.
    """

    def __init__(self, message: str, short: str = "") -> None:
        super().__init__(message)
        self.short = short or message


class UnknownNameError(ConfigError):
    """A name that stands for nothing.

    Args:
        kind: what the name should have named, such as ``"device"``.
        name: the name that was given.
        known: every name that would have been right.
        at: the place of the name, such as a file and a row; empty where ``kind`` says it.

    Example:
        >>> str(UnknownNameError("device", "agx_orn", ["agx_orin", "rtx_4090"]))
        "unknown device 'agx_orn': did you mean 'agx_orin'? Known: agx_orin, rtx_4090"
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], at: str = "") -> None:
        names = sorted(known)
        close = closest(name, names)
        hint = f"did you mean '{close}'? " if close else ""
        where = f"{at}: " if at else ""
        super().__init__(f"{where}unknown {kind} '{name}': {hint}Known: {', '.join(names) or 'none'}")


def exit_status(work: Callable[[], object], interrupted: str, also: type[Exception] = MoE2Error) -> int:
    """Run a command: 0; 1 after an expected error, told in one line, and quietly if ``| head`` has read enough; 130
    after Ctrl-C.

    Args:
        work: of the command.
        interrupted: what to say after Ctrl-C.
        also: an error of others that is expected here.
    """
    try:
        work()
        sys.stdout.flush()
    except (MoE2Error, also) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        if not reader_has_left():
            raise
        return 1
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    finally:
        # After an error, too: what it left in the buffer would break the pipe when the interpreter ends.
        flushed()
    return 0


def reader_has_left() -> bool:
    """Whether a broken pipe is standard output's, as of ``| head``; the rest of the output then goes nowhere.

    Sockets break, too: they are defects or somebody's error, and no reason to end quietly.
    """
    try:
        print(flush=True)
    except BrokenPipeError:
        _to_nowhere()
        return True
    return False


def flushed() -> bool:
    """Write what standard output still holds; False where its reader has left, and the rest goes nowhere."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _to_nowhere()
        return False
    return True


def _to_nowhere() -> None:
    """The interpreter flushes what is left when it exits: to the pipe, it would fail again, with status 120."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
