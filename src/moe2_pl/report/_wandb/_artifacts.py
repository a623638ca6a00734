"""Artifacts of a W&B run, and the lineage pool → gate → frontier between them.

Files are referred to where they lie, never copied, so that forty runs with one gate cost one upload: W&B knows a file
by its content.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moe2_pl.planning import Results
from moe2_pl.pool import ExpertPool

__all__ = ["GateSource", "log_artifacts"]

_FRONTIER = ("frontier.csv", "frontier_by_category.csv", "baselines.csv", "parts.csv", "certificate.csv")


@dataclass(frozen=True)
class GateSource:
    """Which gate a run has used and where it comes from.

    Args:
        checkpoint: its file; None where it is not known.
        address: a hash of everything that affects its training, or ''.
        reused: whether another run trained it.
        sha256: of the file, or ''.
        trained_for: ``pool`` and ``outputs`` → SHA-256, as far as they are known.
    """

    checkpoint: Path | None
    address: str
    reused: bool
    sha256: str
    trained_for: Mapping[str, str]

    @classmethod
    def of(
        cls,
        checkpoint: str | Path | None,
        address: str = "",
        reused: bool = False,
        trained_for: Mapping[str, str] | None = None,
    ) -> "GateSource":
        """The same with the file's hash."""
        path = None if checkpoint is None else Path(checkpoint)
        return cls(path, address, reused, "" if path is None else _sha256(path), dict(trained_for or {}))

    def metadata(self) -> dict[str, str | bool]:
        """What identifies the gate, for configuration and artifacts; without a checkpoint nothing."""
        if self.checkpoint is None:
            return {}
        known = {
            "gate_address": self.address,
            "gate_sha256": self.sha256,
            **{f"gate_{key}_sha256": value for key, value in self.trained_for.items()},
        }
        return {**{key: value for key, value in known.items() if value}, "gate_reused": self.reused}


def log_artifacts(
    run: Any,
    data: Results,
    gate: GateSource,
    pool: Mapping[str, Any] | None,
    folder: Path | None,
) -> None:
    """Logs ``pool-<pool>``, ``gate-<pool>``, ``frontier-<pool>`` and ``report-<pool>``, as far as they are given.

    The pool is an input of the run, and so is a gate that another run has trained; all else is its output. W&B draws
    the lineage from that, offline runs included once they are synced. The metadata says the same by content hashes:
    of the gate which pool and outputs it was trained for, of the frontier which gate and pool it was planned with.

    Args:
        run: a ``wandb`` run.
        data: what the evaluation found.
        gate: the gate it was found with.
        pool: the ``expert_pool`` of the configuration; None for no artifact.
        folder: the run folder; None for neither frontier nor report.
    """
    import wandb

    written = Path(run.dir)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", data.pool)  # W&B allows no other signs
    planned_with = gate.metadata()
    if pool is not None:
        fingerprint = ExpertPool.from_mapping(pool).fingerprint()
        planned_with["pool_sha256"] = fingerprint
        artifact = wandb.Artifact(f"pool-{name}", "pool", metadata={"pool_sha256": fingerprint})
        _add(artifact, [_json(pool, written / "pool.json")])
        _use(run, artifact)
    if gate.checkpoint is not None:
        about = {**gate.metadata(), "objective": data.objective}
        del about["gate_reused"]  # of the run, not of the gate
        artifact = wandb.Artifact(f"gate-{name}", "model", metadata=about)
        _add(artifact, [gate.checkpoint])
        if gate.reused:
            _use(run, artifact)
        else:
            run.log_artifact(artifact, aliases=[(gate.address or gate.sha256)[:12]])
    if folder is None:
        return
    chosen = {
        "budget": data.chosen.budget,
        "experts": list(data.chosen.experts),
        "status": data.chosen.status,
    }
    artifact = wandb.Artifact(f"frontier-{name}", "frontier", metadata={**planned_with, **chosen})
    _add(artifact, [path for path in (folder / file for file in _FRONTIER) if path.exists()])
    run.log_artifact(artifact)
    artifact = wandb.Artifact(f"report-{name}", "report", metadata=planned_with)
    provenance = _json({**data.provenance, **planned_with}, written / "provenance.json")
    _add(artifact, [folder / "report.html", provenance])
    run.log_artifact(artifact)


def _use(run: Any, artifact: Any) -> None:
    """Makes a draft an input of the run; of a content that W&B has already it becomes that version."""
    if run.offline:
        # use_artifact refuses offline runs. This is the record that it would write online, and that a sync replays.
        run._log_artifact(artifact, is_user_created=True, use_after_commit=True)
    else:
        run.use_artifact(artifact)


def _add(artifact: Any, files: Iterable[Path]) -> None:
    for path in files:
        # By default every file is copied. Absolute: a sync may be called from another folder.
        artifact.add_file(str(path.absolute()), policy="immutable")


def _json(values: Mapping[str, Any], path: Path) -> Path:
    # Sorted, or the same pool written in another order would be another version.
    path.write_text(json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False), encoding="utf-8")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
