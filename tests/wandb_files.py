"""Reading an offline W&B run back: records of its transaction log, in LevelDB's log format."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FILE_HEADER, _RECORD_HEADER, _BLOCK = 7, 7, 32768
_FULL, _FIRST, _LAST = 1, 2, 4


def _payloads(blob: bytes) -> Iterator[bytes]:
    assert blob[:4] == b":W&B", "not a W&B transaction log"
    at, pending = _FILE_HEADER, b""
    while at + _RECORD_HEADER <= len(blob):
        if _BLOCK - at % _BLOCK < _RECORD_HEADER:
            at += _BLOCK - at % _BLOCK
            continue
        length, kind = int.from_bytes(blob[at + 4 : at + 6], "little"), blob[at + 6]
        part = blob[at + _RECORD_HEADER : at + _RECORD_HEADER + length]
        at += _RECORD_HEADER + length
        pending = part if kind in (_FULL, _FIRST) else pending + part
        if kind in (_FULL, _LAST):
            yield pending


def records(folder: Path) -> Iterator[Any]:
    """Every record of the one offline run somewhere under ``folder``."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.rglob("run-*.wandb")
    for payload in _payloads(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(payload)
        yield record


def logged_keys(folder: Path) -> set[str]:
    """Keys of the history and of the summary."""
    items = [i for r in records(folder) for i in (*r.history.item, *r.summary.update)]
    return {i.key or ".".join(i.nested_key) for i in items}


def config_keys(folder: Path) -> set[str]:
    """Keys of the configuration."""
    items = [u for r in records(folder) for u in (*r.config.update, *r.run.config.update)]
    return {u.key or ".".join(u.nested_key) for u in items}
