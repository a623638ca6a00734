"""Writing a file so that a reader never meets half of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """Opens a temporary neighbour of ``path`` and renames it into place once it is complete.

    Folders are made as needed. If the body raises, ``path`` stays as it was and the neighbour is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(
        "w", encoding="utf-8", newline="", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        part = Path(file.name)
        try:
            yield file.file
            file.close()
            part.chmod(0o644)  # temporary files are private; results are for colleagues to read
            part.replace(path)
        except BaseException as error:
            part.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename is None:
                # A full disk is noticed by a write, which does not say of which file.
                error.filename = str(path)
            raise
