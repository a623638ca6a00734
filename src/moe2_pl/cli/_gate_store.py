"""Trained gates under the hash of all that training depends on, so that the jobs of a sweep train each gate once."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from moe2_pl.cli._multirun import sweep_folder
from moe2_pl.errors import CheckpointError

if TYPE_CHECKING:
    from moe2_pl.outputs import ExpertOutputsDataModule

__all__ = ["GateStore", "gate_address", "gate_store"]

# What of a Trainer says how a fit is watched or where it runs, not what comes out.
_WATCHING = ("enable_progress_bar", "enable_model_summary", "log_every_n_steps", "profiler", "detect_anomaly")
# Releases of these may train another gate from the same settings.
_PACKAGES = ("moe2-pl", "torch", "lightning", "scikit-learn")


class GateStore:
    """A folder of checkpoints, ``<address>/gate.ckpt``, that processes may share.

    Args:
        folder: made when the first gate is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def claimed(self, address: str) -> Iterator[Path | None]:
        """Waits for whoever trains this gate; gives the checkpoint, or None for the caller to train and keep it.

        The system takes the lock from a process that dies.

        Raises:
            CheckpointError: the folder cannot be written.
        """
        kept = self._path(address)
        if kept.is_file():
            yield kept
            return
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(kept.parent / ".lock")
            lock.acquire()
        except OSError as error:
            raise CheckpointError(
                f"gates cannot be kept in '{self.folder}': {error}; paths.gates=FOLDER names another one"
            ) from error
        try:
            yield kept if kept.is_file() else None
        finally:
            lock.release()

    def keep(self, address: str, checkpoint: str) -> Path:
        """Give a finished checkpoint its address; a second name of the file where the file system can, else a copy."""
        kept = self._path(address)
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            part = Path(scratch) / kept.name
            try:
                os.link(checkpoint, part)
            except OSError:
                shutil.copyfile(checkpoint, part)
            part.replace(kept)
        return kept

    def _path(self, address: str) -> Path:
        return self.folder / address[:20] / "gate.ckpt"


def gate_store(folder: str | None) -> GateStore | None:
    """Where a run looks for a gate that is trained already: ``folder``, else the multirun's ``gates``, else nowhere."""
    if folder is not None:
        return GateStore(Path(folder))
    sweep = sweep_folder()
    return None if sweep is None else GateStore(sweep / "gates")


def gate_address(settings: Mapping[str, Any], data: "ExpertOutputsDataModule") -> str:
    """A SHA-256 of all that training depends on: neither devices and traffic nor budgets and solver.

    Args:
        settings: the configuration, resolved.
        data: set up, so that its encoder is named.
    """
    from moe2_pl.gate import checkpoint_file

    gate = dict(settings["gate"])
    if gate["extend_from"] is not None:
        with suppress(CheckpointError, OSError):  # where there is no file, building the gate says so
            gate["extend_from"] = hashlib.sha256(
                checkpoint_file(gate["extend_from"]).read_bytes()
            ).hexdigest()
    data.setup()
    callbacks = {name: dict(callback) for name, callback in settings["callbacks"].items() if callback}
    callbacks.pop("progress_bar", None)
    for callback in callbacks.values():
        callback.pop("dirpath", None)
    content = {
        "outputs": data.outputs.fingerprint(),
        "models": list(data.outputs.model_id),
        "data": {name: value for name, value in data.hparams.items() if name != "outputs"},
        "gate": gate,
        "objective": settings["objective"],
        "seed": settings["seed"],
        "trainer": {name: value for name, value in settings["trainer"].items() if name not in _WATCHING},
        "callbacks": callbacks,
        "versions": {package: version(package) for package in _PACKAGES},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
