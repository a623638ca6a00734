"""How a store touches the disk: files that are there whole or not at all, locks that die with their process."""

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from moe2_pl.errors import StoreError
from moe2_pl.outputs._shard import is_shard_name

__all__ = ["claimed", "lock_path", "on_disk", "publish", "shard_names", "sync_folder"]

_PART = ".part"
# A live writer takes milliseconds; one that took longer than this fails, and is run again.
_PART_SECONDS = 3600.0


@contextmanager
def on_disk(action: str, path: Path) -> Iterator[None]:
    """Errors of the system as one line, ``cannot <action> '<path>': …``.

    Raises:
        StoreError: the system refused.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot {action} '{path}': {_reason(error)}") from error


def publish(path: Path, content: bytes) -> None:
    """Write a file so that its name shows all of it or nothing, whenever the process or the machine stops.

    Raises:
        OSError: as the system says; nothing is left behind.
    """
    # Not tempfile: its files are for their owner alone, and groups share stores.
    part = path.with_name(f".{secrets.token_hex(8)}{_PART}")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    sync_folder(path.parent)


def shard_names(folder: Path) -> set[str]:
    """Names of the shards in a folder, none where it does not exist. Files of writers that died are removed.

    Raises:
        StoreError: it cannot be read.
    """
    # Twice the same: a folder that changes while it is listed may show neither the old file nor the new one.
    before = _listed(folder)
    while (now := _listed(folder)) != before:
        before = now
    return now


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems sync names by themselves and know no call for it.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)


def lock_path(folder: Path, unit: str) -> Path:
    """The lock file of a unit of work."""
    return folder / f"{sha256(unit.encode()).hexdigest()[:20]}.lock"


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether this process and thread hold the lock ``path`` while the context lasts; nobody is waited for.

    The system takes the lock from a process that dies. The file goes when the context ends: it is removed while the
    lock is held, and whoever locks a file that has lost its name tries again (filelock ≥ 3.24).

    Raises:
        StoreError: the file cannot be made.
    """
    with on_disk("lock", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            mine = False
        else:
            mine = True
    try:
        yield mine
    finally:
        if mine:
            with suppress(OSError):
                path.unlink()
            lock.release()


def _listed(folder: Path) -> set[str]:
    names: set[str] = set()
    with on_disk("read", folder):
        try:
            with os.scandir(folder) as found:
                for item in found:
                    if is_shard_name(item.name) and item.is_file():
                        names.add(item.name)
                    elif item.name.startswith(".") and item.name.endswith(_PART):
                        with suppress(OSError):
                            if time.time() - item.stat().st_mtime > _PART_SECONDS:
                                Path(item.path).unlink()
        except FileNotFoundError:
            return set()
    return names


def _reason(error: OSError) -> str:
    kept = "; what was finished is kept"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space is left; make room and run again{kept}"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{str(error.strerror).lower()}; a folder that this user may write to is needed"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "a file stands where a folder is needed"
    return f"{str(error.strerror or error).lower()}{kept}"
