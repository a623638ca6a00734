"""Reading offline W&B runs back: records of a transaction log, in LevelDB's log format, and what they say."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FILE_HEADER, _RECORD_HEADER, _BLOCK = 7, 7, 32768
_FULL, _FIRST, _LAST = 1, 2, 4


@dataclass
class OfflineRun:
    """What W&B will be told of a run when it is synced.

    Args:
        id, name, group, job_type, tags, commit: of the run; '' and () where there are none.
        config: key → value.
        history: the logged rows.
        summary: key → value.
        axes: metric → its x-axis, of those that are defined by their full name.
        artifacts: name → the artifact.
        files: the folder that paths of tables and charts are relative to.
        exit_code: None where the run was not finished.
    """

    id: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    tags: tuple[str, ...] = ()
    commit: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, "Artifact"] = field(default_factory=dict)
    files: Path = Path()
    exit_code: int | None = None

    def column(self, key: str) -> list[Any]:
        """The values of a key, of the rows that have one."""
        return [row[key] for row in self.history if key in row]

    def table(self, name: str) -> list[dict[str, Any]]:
        """The lines of a table."""
        found = json.loads(self._text(f"tables/{name}"), parse_constant=_refused)
        return [dict(zip(found["columns"], line, strict=True)) for line in found["data"]]

    def chart(self, key: str) -> dict[str, Any]:
        """A chart as Plotly's JSON."""
        chart: dict[str, Any] = json.loads(self._text(f"figures/{key}"), parse_constant=_refused)
        return chart

    def _text(self, key: str) -> str:
        return (self.files / self.summary[key]["path"]).read_text()


@dataclass(frozen=True)
class Artifact:
    """An artifact of an offline run; ``used``: as its input."""

    type: str
    used: bool
    aliases: tuple[str, ...]
    metadata: dict[str, Any]
    digest: str
    files: dict[str, Path]


def _refused(constant: str) -> Any:
    raise AssertionError(f"{constant} is no JSON, browsers refuse it")


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


def finished_run(folder: Path) -> OfflineRun:
    """:func:`offline_run` of this process: it ends W&B's service, which may write after a run's ``finish``."""
    import wandb

    wandb.teardown()
    return offline_run(folder)


def offline_run(folder: Path) -> OfflineRun:
    """The one offline run somewhere under ``folder``, of a process that has ended."""
    (log,) = folder.rglob("run-*.wandb")
    run = OfflineRun(files=log.parent / "files")
    for record in records(folder):
        match record.WhichOneof("record_type"):
            case "run":
                told = record.run
                run.id, run.name, run.group = told.run_id, told.display_name, told.run_group
                run.job_type, run.tags, run.commit = told.job_type, tuple(told.tags), told.git.commit
                run.config |= _values(told.config.update)
            case "config":
                run.config |= _values(record.config.update)
            case "history":
                run.history.append(_values(record.history.item))
            case "summary":
                run.summary |= _values(record.summary.update)
            case "metric" if record.metric.name:
                run.axes[record.metric.name] = record.metric.step_metric
            case "artifact":
                found = _artifact(record.artifact)
                run.artifacts[record.artifact.name] = found
            case "exit":
                run.exit_code = record.exit.exit_code
    return run


def _artifact(told: Any) -> Artifact:
    assert told.finalize
    return Artifact(
        type=told.type,
        used=told.use_after_commit,
        aliases=tuple(told.aliases),
        metadata=json.loads(told.metadata or "{}"),
        digest=told.digest,
        files={entry.path: Path(entry.local_path) for entry in told.manifest.contents},
    )


def _values(items: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        *path, last = [item.key] if item.key else item.nested_key
        into = found
        for part in path:
            into = into.setdefault(part, {})
        into[last] = json.loads(item.value_json)
    return found


def logged_keys(folder: Path) -> set[str]:
    """Keys of the history and of the summary."""
    run = offline_run(folder)
    return {key for row in (*run.history, run.summary) for key in row}


def config_keys(folder: Path) -> set[str]:
    """Keys of the configuration."""
    return {*offline_run(folder).config}
