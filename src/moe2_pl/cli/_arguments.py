"""Rewrites Hydra's parser errors as errors about settings."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import OverrideParseException

from moe2_pl.errors import ConfigError

__all__ = ["arguments_told"]

# Of a setting, or of a group with its package.
_KEY = re.compile(r"[+~]*[\w./@:$-]+")
# How the parser that Hydra's grammar is compiled to begins its complaints.
_GRAMMAR = re.compile(
    r"LexerNoViableAlt|mismatched input|missing |no viable alternative|token recognition error|extraneous input",
)
_PARTNER = {")": "(", "]": "[", "}": "{"}


@contextmanager
def arguments_told(command: str) -> Iterator[None]:
    """Turn what Hydra raises of an argument that it cannot read into an error of ours.

    Args:
        command: ``"train"`` or ``"evaluate"``.

    Raises:
        ConfigError: an argument that is no setting, or flags that exclude each other.
    """
    try:
        yield
    except OverrideParseException as error:
        raise ConfigError(_told(error, command)) from error
    except ValueError as error:
        if not _raised_by_hydra(error):
            raise
        raise ConfigError(str(error)) from error


def _told(error: OverrideParseException, command: str) -> str:
    given = error.override
    key, equals, value = given.partition("=")
    if not equals or not _KEY.fullmatch(key):
        meant = (
            f"did you mean checkpoint={given}?"
            if command == "evaluate" and given and Path(given).exists()
            else ""
        )
        return f"'{given}' is no setting: {meant or 'settings are key=value, and a value with spaces needs quotes'}"
    if not _paired(value):
        return (
            f"'{given}' has a bracket or quote without its partner: "
            "an argument with spaces, commas or brackets needs quotes, 'key={a: 1, b: 2}'"
        )
    # A first line of Hydra's own repeats the argument.
    why = error.message.removeprefix(f"Error parsing override '{given}'").strip().split("\n")[0]
    if _GRAMMAR.match(why):
        why = f"text with = , : or brackets needs quotes of its own, '{key}=\"…\"'"
    return f"the value of '{given}' cannot be read: {why}"


def _paired(value: str) -> bool:
    """Whether every bracket has its partner, and every quote."""
    still_open: list[str] = []
    for sign in value:
        if still_open and still_open[-1] in "'\"":
            if sign == still_open[-1]:
                still_open.pop()
        elif sign in "([{'\"":
            still_open.append(sign)
        elif sign in _PARTNER and (not still_open or still_open.pop() != _PARTNER[sign]):
            return False
    return not still_open


def _raised_by_hydra(error: ValueError) -> bool:
    """Whether Hydra's own lines raised it, as they do of flags that exclude each other."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step is not None and str(step.tb_frame.f_globals.get("__name__")).startswith("hydra.")
