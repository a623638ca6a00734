"""Real processes for the tests of the store: forks of this one, and a log of what each of them computed."""

import ctypes
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from moe2_pl.outputs._store import OutputStore, StoreEntry

SPEC = {"weights": "1f3a", "adapter": None, "decoding": {"temperature": 0.0}}
_FORK = multiprocessing.get_context(
    "fork"
)  # nothing is imported again, so that a hundred of them take seconds
_LIBC = ctypes.CDLL(None)
_NEW_MOUNTS, _PRIVATE, _REMOUNT = 0x20000, 0x44000, 0x20  # CLONE_NEWNS; MS_REC | MS_PRIVATE; MS_REMOUNT


def start(work: Callable[..., Any], *arguments: Any) -> BaseProcess:
    process = _FORK.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def event() -> Any:
    return _FORK.Event()


def outcome(work: Callable[[], Any]) -> Any:
    """What ``work`` gives in a process of its own, which may change what belongs to a whole process."""
    receiver, sender = _FORK.Pipe(duplex=False)
    process = start(lambda: sender.send(work()))
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join()


def entry(folder: Path) -> StoreEntry:
    return OutputStore(folder).entry(SPEC)


def shards(of: StoreEntry) -> list[Path]:
    """Files that hold its records."""
    return sorted(of.folder.glob("*.jsonl"))


def record(key: str) -> dict[str, Any]:
    """What the stand-in for an expert answers: figures that follow from the key."""
    draw = [byte / 255 for byte in sha256(key.encode()).digest()[:4]]
    return {"log_prob": [-d for d in draw], "tokens": len(key), "text": key[::-1]}


def units(count: int, size: int) -> dict[str, list[str]]:
    return {f"unit {i}": [f"{i}/{j}" for j in range(size)] for i in range(count)}


def answers(work: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    return {key: record(key) for keys in work.values() for key in keys}


class Log:
    """Which process began and ended which unit, in the order in which it happened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, *words: str) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, (json.dumps([os.getpid(), *words]) + "\n").encode())
        os.close(handle)

    def read(self) -> list[list[Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def compute(self, seconds: float) -> Callable[[str, Sequence[str]], dict[str, Any]]:
        """A stand-in for an expert, which takes ``seconds`` for a unit."""

        def answer(unit: str, keys: Sequence[str]) -> dict[str, Any]:
            self.note("begin", unit)
            time.sleep(seconds)
            self.note("end", unit)
            return {key: record(key) for key in keys}

        return answer


def mount_small_disk(folder: Path, size: str) -> bool:
    """Mount a RAM disk on ``folder``, for this process alone; False where that is not allowed."""
    if _LIBC.unshare(_NEW_MOUNTS) or _LIBC.mount(b"none", b"/", None, _PRIVATE, None):
        return False
    return _LIBC.mount(b"none", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode()) == 0


def make_room(folder: Path, size: str) -> None:
    """Let the RAM disk have another size."""
    assert _LIBC.mount(b"none", os.fsencode(folder), b"tmpfs", _REMOUNT, f"size={size}".encode()) == 0


def become_nobody() -> None:
    """Give up the rights of root, who may write everywhere."""
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
