"""The records of one expert under one setting, in a folder that processes may fill, read and compact at once.

A record is there when its shard is: a file that appears whole under the hash of its content. No index and no log name
the shards, so nothing can disagree with them. Locks only spare work: were they to fail, two processes would compute
the same records, and nothing would be lost.
"""

import errno
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from moe2_pl.errors import IntegrityError, StoreError
from moe2_pl.outputs._shard import Record, Shard, record_line
from moe2_pl.outputs._store_files import claimed, lock_path, on_disk, publish, shard_names, sync_folder
from moe2_pl.outputs._store_spec import keep_spec

__all__ = ["Records", "StoreEntry"]

# A damaged shard costs its records, so compaction stops here.
SHARD_RECORDS = 4096
_LOCKS = "locks"
_CORRUPT = "corrupt"
_TRIES = 100


class Records(dict[str, Record]):
    """Key → record; not to be changed.

    Args:
        corrupt: shards of the entry that were set aside because their content is not what was written.
    """

    def __init__(self, records: Mapping[str, Record], corrupt: int) -> None:
        super().__init__(records)
        self.corrupt = corrupt


@dataclass
class _Held:
    """What is known of a shard on disk; its records once somebody asked for them."""

    written_ns: int
    keys: tuple[str, ...]
    records: dict[str, Record] | None


class StoreEntry:
    """The folder of one setting; :meth:`OutputStore.entry` makes it. Threads may share one.

    Args:
        folder: ``<store>/<address>``; made by the first write.
        spec: the setting; None where only the folder is known.
    """

    def __init__(self, folder: Path, spec: Mapping[str, Any] | None) -> None:
        self.folder = folder
        self.spec = spec
        self._shards: dict[str, _Held] = {}
        self._from: dict[str, str] = {}  # key → shard that holds the latest record
        self._stuck: set[str] = set()  # damaged shards that could not be moved
        self._guard = RLock()

    @property
    def address(self) -> str:
        """Twenty digits that change with the setting."""
        return self.folder.name

    def read(self) -> Records:
        """Every record; a second call reads only what was written since.

        A shard that is truncated or altered is moved to ``corrupt/``, with a warning, and its records are missing.

        Raises:
            StoreError: the folder or a file in it cannot be read.
        """
        with self._guard:
            self._refresh(records=True)
            found = {key: (self._shards[name].records or {})[key] for key, name in self._from.items()}
            return Records(found, self._corrupt())

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys that have no record now, each once, in their order. Damaged shards are treated alike.

        Raises:
            StoreError: the folder or a file in it cannot be read.
        """
        with self._guard:
            self._refresh(records=False)
            return [key for key in dict.fromkeys(keys) if key not in self._from]

    def write(self, records: Mapping[str, Record]) -> None:
        """Add records as one shard, on disk for good when this returns; a key that is there gets the new record.

        Raises:
            DataError: a record that is not made of plain values.
            StoreError: the disk is full, the folder may not be written; nothing of these records is left behind.
        """
        lines = {key: record_line(key, record) for key, record in records.items()}
        if not lines:
            return
        self._make()
        with self._guard:
            latest = max((held.written_ns for held in self._shards.values()), default=0)
        self._put(Shard(max(time.time_ns(), latest + 1), lines))

    def claim(self, unit: str) -> AbstractContextManager[bool]:
        """A context that gives True if this process and thread alone may work on ``unit`` while it lasts.

        Whoever gets True asks :meth:`missing` again: another process may have finished the unit just before. A process
        that dies loses its claim.

        Raises:
            StoreError: the folder may not be written.
        """
        self._make()
        return claimed(lock_path(self.folder / _LOCKS, unit))

    def compact(self, above: int = 1) -> None:
        """Merge small shards into shards of some 4,096 records, if there are more than ``above`` small ones.

        The merged ones are on disk before the others go, so that a kill at any moment loses nothing, and readers and
        writers need not stop. If another process is at it, nothing is done.

        Raises:
            StoreError: the disk is full, or the folder may not be written; everything is as before.
        """
        with self._guard:
            self._refresh(records=False)
            if len(self._small()) <= max(above, 1):
                return
            with claimed(self.folder / _LOCKS / "compact.lock") as mine:
                merged = not mine
                while not merged:
                    self._refresh(records=False)
                    merged = self._merge(self._small())

    def sweep(self) -> None:
        """Remove the lock files that killed processes left behind.

        Raises:
            StoreError: the folder may not be written.
        """
        for path in self._locks():
            with claimed(path):
                pass

    def busy(self) -> bool:
        """Whether somebody holds a claim.

        Raises:
            StoreError: the folder may not be written.
        """
        for path in self._locks():
            with claimed(path) as mine:
                if not mine:
                    return True
        return False

    def sizes(self) -> tuple[int, int, float | None]:
        """Shards, their bytes, and when the last was written, in seconds since the epoch; as of the last reading."""
        with self._guard:
            size = 0
            for name in self._shards:
                with suppress(FileNotFoundError):
                    size += (self.folder / name).stat().st_size
            last = max((held.written_ns for held in self._shards.values()), default=None)
            return len(self._shards), size, None if last is None else last / 1e9

    def _locks(self) -> list[Path]:
        return sorted((self.folder / _LOCKS).glob("*.lock"))

    def _corrupt(self) -> int:
        return len(self._stuck) + sum(1 for _ in (self.folder / _CORRUPT).glob("*.jsonl"))

    def _small(self) -> list[str]:
        """Names of shards worth merging, the oldest first."""
        names = (name for name, held in self._shards.items() if len(held.keys) < SHARD_RECORDS)
        return sorted(names, key=self._age)

    def _age(self, name: str) -> tuple[int, str]:
        return self._shards[name].written_ns, name

    def _make(self) -> None:
        """The folder and its spec.json, which only people and the status read."""
        with on_disk("make", self.folder):
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True, exist_ok=True)
                sync_folder(self.folder.parent)
        if self.spec is not None:
            keep_spec(self.folder, self.spec)

    def _put(self, shard: Shard) -> str:
        name, content = shard.encode()
        with on_disk("write", self.folder / name):
            publish(self.folder / name, content)
        return name

    def _merge(self, names: list[str]) -> bool:
        """Merge these; False where one of them was gone or damaged, so that the rest must be looked at again."""
        made: set[str] = set()
        lines: dict[str, str] = {}
        for position, name in enumerate(names):
            shard = self._load(name)
            if shard is None:
                return False
            # Lines are copied, not records, which may have been changed in memory.
            lines |= {key: line for key, line in shard.lines.items() if self._from[key] == name}
            if lines and (len(lines) >= SHARD_RECORDS or position == len(names) - 1):
                made.add(self._put(Shard(shard.written_ns, lines)))
                lines = {}
        for name in set(names) - made:
            with on_disk("remove", self.folder / name):
                (self.folder / name).unlink(missing_ok=True)
        return True

    def _refresh(self, records: bool) -> None:
        """Know what is on disk now.

        Args:
            records: read the records as well, not only their keys.
        """
        for _ in range(_TRIES):
            names = shard_names(self.folder) - self._stuck
            gone = self._shards.keys() - names
            for name in gone:
                del self._shards[name]
            latest = max((held.written_ns for held in self._shards.values()), default=-1)
            new = [n for n in names if n not in self._shards or (records and self._shards[n].records is None)]
            whole, in_order = True, not gone
            for name in new:
                shard = self._load(name)
                if shard is None:
                    whole = False
                    continue
                in_order = in_order and shard.written_ns > latest
                self._shards[name] = _Held(
                    shard.written_ns, tuple(shard.lines), shard.records() if records else None
                )
            self._index(new if in_order else self._shards, anew=not in_order)
            # A listed shard has vanished: another process merged it. List again.
            if whole:
                if self._shards and self.spec is not None:
                    # Reading is for everybody, also where nothing may be written.
                    with suppress(StoreError):
                        keep_spec(self.folder, self.spec)
                return
        raise StoreError(f"the shards in '{self.folder}' come and go faster than they can be read")

    def _index(self, names: Iterable[str], anew: bool) -> None:
        if anew:
            self._from = {}
        for name in sorted((n for n in names if n in self._shards), key=self._age):
            self._from |= dict.fromkeys(self._shards[name].keys, name)

    def _load(self, name: str) -> Shard | None:
        """The shard of that name; None where it is gone, or was damaged and set aside."""
        path = self.folder / name
        with on_disk("read", path):
            try:
                content = path.read_bytes()
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ESTALE):
                    return None
                if error.errno != errno.EIO:
                    raise
                self._set_aside(name, "the disk cannot read it")
                return None
        try:
            return Shard.decode(name, content)
        except IntegrityError as error:
            self._set_aside(name, str(error))
            return None

    def _set_aside(self, name: str, why: str) -> None:
        place = self.folder / _CORRUPT / name
        try:
            place.parent.mkdir(exist_ok=True)
            (self.folder / name).replace(place)
        except FileNotFoundError:
            return  # another process was faster, and has warned
        except OSError:
            self._stuck.add(name)
            place = self.folder / name
        warnings.warn(
            f"'{place}' is damaged ({why}); its records count as missing. Shards set aside in this entry: "
            f"{self._corrupt()}",
            stacklevel=2,
        )
