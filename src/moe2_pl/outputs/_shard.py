"""The file of one shard: records as JSON Lines, under the SHA-256 of all of its bytes. Nothing here touches a disk.

The first line says what the file is and when it was written; every other one holds a key and its record. Lines are
ASCII, numbers come back to the last bit, and what JSON has no word for (−inf, inf, NaN) stands as
``{"$float": "-inf"}``, so that any JSON reader can read it.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from moe2_pl.errors import DataError, IntegrityError

__all__ = ["FORMAT_VERSION", "Record", "Shard", "canonical", "from_json", "is_shard_name", "record_line"]

FORMAT_VERSION = 1
_FORMAT = "moe2-pl shard of outputs"
_NAME = re.compile(r"[0-9a-f]{64}\.jsonl")
_FLOAT = "$float"
_KEY = '{"key":'

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Shard:
    """Records that were written together.

    Args:
        written_ns: nanoseconds since the epoch; of two records under one key the later written counts.
        lines: key → the line that holds its record.

    Example:
        >>> shard = Shard(7, {"a": record_line("a", {"log_prob": [-0.1, float("-inf")]})})
        >>> print(shard.lines["a"])
        {"key":"a","record":{"log_prob":[-0.1,{"$float":"-inf"}]}}
        >>> Shard.decode(*shard.encode()).records()
        {'a': {'log_prob': [-0.1, -inf]}}
    """

    written_ns: int
    lines: Mapping[str, str]

    def encode(self) -> tuple[str, bytes]:
        """The name and the content of its file."""
        head = {
            "format": _FORMAT,
            "format_version": FORMAT_VERSION,
            "written_ns": self.written_ns,
            "records": len(self.lines),
        }
        content = "".join(f"{line}\n" for line in (json.dumps(head), *self.lines.values())).encode("ascii")
        return f"{sha256(content).hexdigest()}.jsonl", content

    @classmethod
    def decode(cls, name: str, content: bytes) -> "Shard":
        """The shard in a file of that name.

        Raises:
            IntegrityError: truncated, altered, or no shard.
        """
        found = sha256(content).hexdigest()
        if f"{found}.jsonl" != name:
            raise IntegrityError(
                f"{len(content)} bytes with the SHA-256 {found[:12]}…, its name says otherwise"
            )
        try:
            first, *rest = content.decode("ascii").splitlines()
            head = json.loads(first)
            if (head["format"], head["format_version"]) != (_FORMAT, FORMAT_VERSION):
                raise ValueError(f"format is {head['format']!r}, version {head['format_version']}")
            lines = {_key(line): line for line in rest}
            if len(lines) != head["records"]:
                raise ValueError(f"{len(lines)} records, its first line says {head['records']}")
            return cls(int(head["written_ns"]), lines)
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"not a shard of outputs: {error!r}") from error

    def records(self) -> dict[str, Record]:
        """Key → record, lists where tuples were written."""
        return {key: from_json(line)["record"] for key, line in self.lines.items()}


def is_shard_name(name: str) -> bool:
    """Whether a file of that name may be a shard."""
    return _NAME.fullmatch(name) is not None


def record_line(key: str, record: Record) -> str:
    """The line of a record.

    Raises:
        DataError: an empty key, or a value that JSON cannot hold.
    """
    if not isinstance(key, str) or not key:
        raise DataError(f"the key of a record is {key!r}; a text that is not empty is needed")
    where = f"record '{key[:12]}'"
    if not isinstance(record, Mapping):
        raise DataError(f"{where} is of type {type(record).__name__}; a mapping of plain values is needed")
    return f'{_KEY}{_dumps(key)},"record":{_dumps(_plain(record, where))}}}'


def canonical(values: Mapping[str, Any], where: str) -> str:
    """JSON of plain values, the same for equal values in any order.

    Args:
        where: what the values are, for errors.

    Raises:
        DataError: a value that is not plain.

    Example:
        >>> canonical({"b": (1, 2), "a": None}, "spec")
        '{"a":null,"b":[1,2]}'
    """
    return json.dumps(_plain(values, where), sort_keys=True, separators=(",", ":"), allow_nan=False)


def from_json(text: str) -> Any:
    """What :func:`record_line` or :func:`canonical` wrote."""
    return json.loads(text, object_hook=_from_plain if f'"{_FLOAT}"' in text else None)


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _key(line: str) -> str:
    if not line.startswith(_KEY):
        raise ValueError(f"a line begins with {line[:20]!r}")
    # Only the key: most readers ask what is there, not what was answered.
    return str(json.JSONDecoder().raw_decode(line, len(_KEY))[0])


def _from_plain(value: dict[str, Any]) -> Any:
    return float(value[_FLOAT]) if value.keys() == {_FLOAT} else value


def _plain(value: Any, where: str) -> Any:
    """The value with only what JSON has, once it is known that reading gives it back."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {_FLOAT: str(float(value))}
    if isinstance(value, list | tuple):
        return [_plain(item, where) for item in value]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key == _FLOAT:
                raise DataError(f"{where} has the key {key!r}; keys are texts other than '{_FLOAT}'")
        return {key: _plain(item, f"{where}, '{key}'") for key, item in value.items()}
    raise DataError(
        f"{where} is of type {type(value).__name__}; numbers, texts, None, lists and mappings of them can be kept"
    )
