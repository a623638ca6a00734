"""The description of an entry: its address comes from it, and people and the status read it. Records do not need it."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from moe2_pl.errors import DataError
from moe2_pl.outputs._shard import FORMAT_VERSION, canonical, from_json
from moe2_pl.outputs._store_files import on_disk, publish

__all__ = ["address_of", "keep_spec", "read_spec"]

_FILE = "spec.json"


def address_of(spec: Mapping[str, Any]) -> str:
    """Twenty digits that change with every value of a setting, and with the store's format.

    Raises:
        DataError: a value that is not plain.
    """
    return sha256(f"{FORMAT_VERSION}{canonical(spec, 'spec')}".encode()).hexdigest()[:20]


def read_spec(folder: Path) -> Mapping[str, Any] | None:
    """The setting whose folder this is; None where its file is missing or is not the one that was written."""
    try:
        spec: Mapping[str, Any] = from_json((folder / _FILE).read_text())["spec"]
        return spec if address_of(spec) == folder.name else None
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None


def keep_spec(folder: Path, spec: Mapping[str, Any]) -> None:
    """Write the file, unless it is there and whole.

    Raises:
        StoreError: the folder cannot be written.
    """
    if read_spec(folder) is not None:
        return
    head = {"format": "moe2-pl store of outputs", "format_version": FORMAT_VERSION}
    content = (
        json.dumps(head | {"spec": json.loads(canonical(spec, "spec"))}, indent=2, sort_keys=True) + "\n"
    )
    with on_disk("write", folder / _FILE):
        publish(folder / _FILE, content.encode("ascii"))
