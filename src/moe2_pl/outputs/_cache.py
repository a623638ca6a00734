"""Arrays on disk under the hash of everything that they depend on, so that nothing long is computed twice."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ArrayCache", "Arrays", "digest"]

Arrays = dict[str, NDArray[Any]]


def digest(what: Mapping[str, Any]) -> str:
    """A SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


class ArrayCache:
    """One file of arrays per key.

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
            # Where nothing may be written, what was computed is still worth having.
            self.folder = None
