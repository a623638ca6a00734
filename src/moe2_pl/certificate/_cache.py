"""Held-out scores of retrained gates on disk, so that no certificate is measured twice."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cache", "digest"]

Arrays = dict[str, NDArray[Any]]


def digest(what: Mapping[str, Any]) -> str:
    """A SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


class Cache:
    """One file per subset and seed, named by the hash of everything that its content depends on.

    Args:
        folder: where; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.hits = 0

    def get(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        """The arrays under ``key``, read or computed; a file that cannot be read is computed again."""
        if self.folder is None:
            return compute()
        path = self.folder / f"{key[:32]}.npz"
        # A damaged file fails in as many ways as a zip archive can.
        with contextlib.suppress(Exception), np.load(path, allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored.files}
            self.hits += 1
            return found
        arrays = compute()
        self._write(path, arrays)
        return arrays

    def _write(self, path: Path, arrays: Arrays) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
                part = Path(file.name)
                try:
                    np.savez(file, **arrays)  # type: ignore[arg-type]
                    file.close()
                    part.replace(path)
                except BaseException:
                    part.unlink(missing_ok=True)
                    raise
        except OSError:
            # A run folder that may only be read is still worth a certificate.
            self.folder = None
