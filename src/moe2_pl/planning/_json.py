"""Frozen dataclasses as JSON and back, by their annotations. Numbers that JSON lacks are written as text: NaN, inf."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from moe2_pl.errors import DataError

__all__ = ["from_json", "to_json"]

T = TypeVar("T")


def to_json(value: object) -> str:
    """A dataclass of numbers, text, tuples, mappings and further dataclasses as strict JSON."""
    return json.dumps(_plain(value), allow_nan=False, ensure_ascii=False, indent=1)


def from_json(kind: type[T], text: str, **names: type) -> T:
    """The value that :func:`to_json` wrote.

    Args:
        kind: its dataclass.
        text: JSON.
        names: types that annotations name and their modules import for type checkers only.

    Raises:
        DataError: not JSON, or not of this class.
    """
    try:
        found: T = _read(kind, json.loads(text), names)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"this is no JSON of {kind.__name__}: {type(error).__name__}: {error}") from error
    return found


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _read(kind: Any, value: Any, names: Mapping[str, type]) -> Any:
    if value is None or kind is object:
        return value
    if is_dataclass(kind):
        hints = get_type_hints(kind, localns=dict(names))
        return kind(**{key: _read(hints[key], part, names) for key, part in value.items()})  # type: ignore[operator]
    origin, inside = get_origin(kind), get_args(kind)
    if origin is UnionType or type(None) in inside:
        (kind,) = (arm for arm in inside if arm is not type(None))
        return _read(kind, value, names)
    if origin is tuple:
        each = inside[:1] * len(value) if inside[-1] is Ellipsis else inside
        return tuple(_read(arm, part, names) for arm, part in zip(each, value, strict=True))
    if origin is Mapping:
        return {key: _read(inside[1], part, names) for key, part in value.items()}
    return float(value) if kind is float else value
