"""Answers of experts on disk, so that nothing is asked twice and nothing that was finished is lost.

Every setting of an expert has a folder of its own, under a hash of the setting, and every answer a key in it, the hash
of the request. It knows neither experts nor questions: settings and answers are plain values here.
"""

import os
import secrets
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe2_pl.errors import DataError, StoreError
from moe2_pl.outputs._shard import Record
from moe2_pl.outputs._store_entry import Records, StoreEntry
from moe2_pl.outputs._store_files import on_disk
from moe2_pl.outputs._store_spec import address_of, read_spec

__all__ = ["EntryStatus", "OutputStore", "Progress", "Records", "StoreEntry", "fill"]

_GRAVE = ".removed"
_COMPACT_ABOVE = 64
_WAIT_S = (0.02, 1.0)


@dataclass(frozen=True)
class EntryStatus:
    """What lies under one address.

    Args:
        address: of the entry.
        spec: the setting; None where its description is lost, which harms nothing.
        records: distinct keys.
        shards: files that hold them.
        size_bytes: of these files.
        corrupt: shards that were set aside because their content is not what was written.
        written_s: when the last was written, in seconds since the epoch; None where nothing was.
    """

    address: str
    spec: Mapping[str, Any] | None
    records: int
    shards: int
    size_bytes: int
    corrupt: int
    written_s: float | None


class OutputStore:
    """A folder of entries, one for each setting; several processes may use it at once.

    Args:
        folder: made by the first write.

    Raises:
        StoreError: ``folder`` is a file.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     entry = OutputStore(folder).entry({"weights": "1f3a", "adapter": None})
        ...     entry.write({"key of a request": {"log_prob": [-0.25, -1.5]}})
        ...     dict(OutputStore(folder).entry({"adapter": None, "weights": "1f3a"}).read())
        {'key of a request': {'log_prob': [-0.25, -1.5]}}
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise StoreError(f"'{self.folder}' is a file; a store of outputs is a folder")

    def entry(self, spec: Mapping[str, Any]) -> StoreEntry:
        """The entry of a setting: plain values that the answers depend on. Nothing is written yet.

        Raises:
            DataError: a value that is not plain.
        """
        if not isinstance(spec, Mapping):
            raise DataError(f"spec is of type {type(spec).__name__}; a mapping of plain values is needed")
        return StoreEntry(self.folder / address_of(spec), spec)

    def entries(self) -> list[EntryStatus]:
        """What lies in the store, by address. Every shard is verified, and damaged ones are set aside.

        Raises:
            StoreError: the store cannot be read.
        """
        return [self._status(folder) for folder in self._folders()]

    def remove(self, entry: StoreEntry | EntryStatus) -> None:
        """Forget an entry; one that is not there is no error.

        Raises:
            StoreError: a process is filling it, or the folder may not be written.
        """
        folder = self.folder / entry.address
        if folder.is_dir():
            if StoreEntry(folder, None).busy():
                raise StoreError(f"'{folder}' is being filled; end the process that fills it, then remove it")
            with on_disk("remove", folder):
                # Under another name first: a reader sees all of it or nothing.
                folder.rename(self.folder / f".{entry.address}.{secrets.token_hex(4)}{_GRAVE}")
        for grave in self.folder.glob(f".*{_GRAVE}"):
            shutil.rmtree(grave, ignore_errors=True)

    def _folders(self) -> Iterator[Path]:
        if not self.folder.exists():
            return
        with on_disk("read", self.folder):
            folders = sorted(self.folder.iterdir())
        for folder in folders:
            if len(folder.name) == 20 and set(folder.name) <= set("0123456789abcdef") and folder.is_dir():
                yield folder

    def _status(self, folder: Path) -> EntryStatus:
        entry = StoreEntry(folder, None)
        records = entry.read()
        shards, size_bytes, written_s = entry.sizes()
        return EntryStatus(
            entry.address, read_spec(folder), len(records), shards, size_bytes, records.corrupt, written_s
        )


@dataclass(frozen=True)
class Progress:
    """How far filling an entry is.

    Args:
        unit: that is done now; empty at the beginning.
        total: keys of all units.
        done: of these, with a record, whoever computed it.
        computed: of these, by this call of :func:`fill`.
    """

    unit: str
    total: int
    done: int
    computed: int


def fill(
    entry: StoreEntry,
    units: Mapping[str, Sequence[str]],
    compute: Callable[[str, Sequence[str]], Mapping[str, Record]],
    tick: Callable[[Progress], None] | None = None,
    compact_above: int = _COMPACT_ABOVE,
) -> Progress:
    """Compute every record that is missing, each unit by one process, and return once all are there.

    Any number of processes and threads may call it with the same units, at any time. Each takes the units that nobody
    has, and waits for the others' at the end; where one dies, another takes its unit. What a call computed is on disk
    before it goes on, so an interrupt costs one unit.

    Args:
        entry: where the records belong.
        units: name → keys that are computed together. A key should stand in one unit.
        compute: called with a unit and its missing keys; gives their records. Records that it gives are kept, also
            where it gives too few, which is an error.
        tick: called at the beginning and after every unit.
        compact_above: shards beyond which they are merged at the end.

    Raises:
        DataError: ``compute`` gave other records than it was asked for.
        StoreError: the disk is full, or the folder may not be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     entry = OutputStore(folder).entry({"weights": "1f3a"})
        ...     entry.write({"b": {"length": 1}})
        ...     fill(entry, {"all": ["a", "b", "cc"]}, lambda unit, keys: {k: {"length": len(k)} for k in keys})
        Progress(unit='all', total=3, done=3, computed=2)
    """
    absent = _absent(entry, units)
    total = sum(len(set(keys)) for keys in units.values())
    computed, wait_s = 0, _WAIT_S[0]
    progress = Progress("", total, total - sum(map(len, absent.values())), 0)

    def done_with(unit: str) -> Progress:
        del absent[unit]
        now = Progress(unit, total, total - sum(map(len, absent.values())), computed)
        if tick is not None:
            tick(now)
        return now

    if tick is not None:
        tick(progress)
    while absent:
        before = len(absent)
        for unit in list(absent):
            with entry.claim(unit) as mine:
                if not mine:
                    continue
                # Asked again now that nobody else can be at it.
                keys = entry.missing(units[unit])
                if keys:
                    computed += _compute(entry, unit, keys, compute)
            progress = done_with(unit)
        still = _absent(entry, {unit: units[unit] for unit in absent})
        for unit in absent.keys() - still.keys():
            progress = done_with(unit)
        wait_s = _WAIT_S[0] if len(absent) < before else min(2 * wait_s, _WAIT_S[1])
        if absent:
            time.sleep(wait_s)
    _tidy(entry, compact_above)
    return progress


def _absent(entry: StoreEntry, units: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Unit → its missing keys, where there are some."""
    missing = set(entry.missing(key for keys in units.values() for key in keys))
    found = {unit: [key for key in dict.fromkeys(keys) if key in missing] for unit, keys in units.items()}
    return {unit: keys for unit, keys in found.items() if keys}


def _compute(
    entry: StoreEntry,
    unit: str,
    keys: Sequence[str],
    compute: Callable[[str, Sequence[str]], Mapping[str, Record]],
) -> int:
    found = compute(unit, keys)
    wanted = {key: found[key] for key in keys if key in found}
    entry.write(wanted)
    if len(wanted) != len(keys) or len(found) != len(keys):
        raise DataError(
            f"unit '{unit}': {len(keys)} records were asked for, {len(wanted)} of them were computed, and "
            f"{len(found) - len(wanted)} others; those asked for are kept"
        )
    return len(wanted)


def _tidy(entry: StoreEntry, compact_above: int) -> None:
    """Merge shards and remove dead locks, where that is possible: every record is there already."""
    if not os.access(entry.folder, os.W_OK):
        return
    try:
        entry.sweep()
        entry.compact(compact_above)
    except StoreError as error:
        warnings.warn(f"shards were not merged: {error}", stacklevel=3)
