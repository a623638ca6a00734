"""Finding the files of a model and naming their content by hashes; nothing here loads a model."""

import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from moe2_pl.errors import ConfigError, closest

__all__ = [
    "ModelFiles",
    "cache_folder",
    "closest_folder",
    "digest_of",
    "find_model",
    "first_line",
    "is_hub_id",
    "package_folder",
]

PACKAGE = "package:"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_PICKLES = (".bin", ".pt", ".pth", ".pkl")
# What transformers reads besides the weights: configuration, vocabulary, templates, and a model's own code.
_BESIDES = (".json", ".model", ".txt", ".jinja", ".tiktoken", ".py")


@dataclass(frozen=True)
class ModelFiles:
    """Where the files of a model lie: in a folder, or on the Hugging Face Hub.

    Args:
        name: as the user gave it.
        folder: None for a model of the Hub.
        gguf: the GGUF file's name, None for safetensors.
        revision: of the Hub: a branch, a tag or a commit.
        pickles: whether weights may be read from pickles, which can run code.
    """

    name: str
    folder: Path | None
    gguf: str | None = None
    revision: str | None = None
    pickles: bool = False

    @cached_property
    def commit(self) -> str:
        """The commit on the Hub that ``revision`` means today; the one in the Hub's cache where there is no network.

        Raises:
            ConfigError: the model is not to be found.
        """
        # Every repository of the Hub has .gitattributes; those with GGUF files often lack a config.json.
        return _commit(self.name, self.revision, "config.json" if self.gguf is None else ".gitattributes")

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """Plain values that name the content: the hash of all files, or Hub id, commit and file."""
        if self.folder is None:
            return {"hub": self.name, "commit": self.commit, "file": self.gguf}
        if self.gguf is not None:
            return {"sha256": digest_of(self.folder / self.gguf)}
        weights = (
            _PICKLES if self.pickles and not _ending(self.folder, (".safetensors",)) else (".safetensors",)
        )
        return {"sha256": digest_of(*_ending(self.folder, (*weights, *_BESIDES)))}

    def local(self) -> Path:
        """The folder with the GGUF file; one of the Hub is downloaded.

        Raises:
            ConfigError: it cannot be had.
        """
        if self.folder is not None or self.gguf is None:
            return self.folder or Path(self.name)
        return _downloaded(self.name, self.gguf, self.commit).parent


def find_model(
    model: str, file: str | None = None, revision: str | None = None, *, allow_pickle: bool = False
) -> ModelFiles:
    """The files of a model.

    Args:
        model: a folder, a Hub id, or ``package:NAME``, the folder of an installed Python package, or
            ``package:NAME/FOLDER``, one in it.
        file: a GGUF file in it; where a folder holds a single GGUF file and no safetensors, that one is meant.
        revision: of a model of the Hub.
        allow_pickle: whether a folder that holds only pickles will do.

    Raises:
        ConfigError: a model or a file that is not there, or a folder that holds only pickles.
    """
    owner, slash, _ = model.partition("/")
    if model.startswith(PACKAGE):
        folder = package_folder(model)
    elif Path(model).expanduser().is_dir():
        folder = Path(model).expanduser()
    elif Path(model).expanduser().is_file():
        raise ConfigError(
            f"model '{model}' is a file; give its folder as model and '{Path(model).name}' as file"
        )
    elif is_hub_id(model) and not (slash and Path(owner).is_dir()):
        return ModelFiles(model, None, file, revision, allow_pickle)
    else:
        why = f"; it is not looked for on the Hub, as '{owner}' is a folder here" if is_hub_id(model) else ""
        raise ConfigError(
            f"model '{model}' cannot be loaded: there is no such folder{closest_folder(model)}{why}"
        )
    if revision is not None:
        raise ConfigError(f"revision '{revision}' is given, but model '{model}' is a folder, not of the Hub")
    return ModelFiles(model, folder, _gguf_of(model, folder, file, allow_pickle), None, allow_pickle)


def _gguf_of(model: str, folder: Path, file: str | None, allow_pickle: bool) -> str | None:
    """Name of the GGUF file to run; None for the safetensors of the folder."""
    there = [path.name for path in _ending(folder, (".gguf",))]
    if file is not None:
        if file in there:
            return file
        close = closest(file, there)
        hint = f"did you mean '{close}'? " if close else ""
        raise ConfigError(f"{model} holds no {file}; {hint}its GGUF files: {', '.join(there) or 'none'}")
    if _ending(folder, (".safetensors",)):
        return None
    if len(there) == 1:
        return there[0]
    if there:
        raise ConfigError(f"model '{model}' holds several GGUF files; name one as file: {', '.join(there)}")
    pickles = [path.name for path in _ending(folder, _PICKLES)]
    if pickles and allow_pickle:
        return None
    if pickles:
        raise ConfigError(
            f"model '{model}' has its weights only as pickles ({', '.join(pickles)}), which can run code; "
            "convert them to safetensors, or give allow_pickle=true if you trust them"
        )
    raise ConfigError(f"model '{model}' holds no weights: neither safetensors nor GGUF")


def package_folder(model: str, what: str = "model") -> Path:
    """The folder of ``package:NAME``, one in it, or the one that the package's parts were assembled into.

    Args:
        model: its name.
        what: it is called in messages.

    Raises:
        ConfigError: no such package or folder, or one without weights.
    """
    name, _, inside = model.removeprefix(PACKAGE).partition("/")
    name = name.replace("-", "_")
    spec = find_spec(name) if name.isidentifier() else None
    if spec is None or spec.origin is None:
        close = closest(name, packages_distributions())
        hint = f"did you mean '{PACKAGE}{close}'?" if close else f"pip install {name.replace('_', '-')}"
        raise ConfigError(f"{what} '{model}': no Python package '{name}' is installed; {hint}")
    folder = Path(spec.origin).parent / inside
    if not folder.is_dir():
        near = f"{PACKAGE}{name}/{inside}" if inside else model
        raise ConfigError(f"{what} '{model}': the package has no such folder{closest_folder(near)}")
    if _ending(folder, (".gguf", ".safetensors", *_PICKLES)):
        return folder
    package = import_module(name)
    if not hasattr(package, "assemble"):
        raise ConfigError(f"{what} '{model}': the package holds no weights and has no assemble(path)")
    whole = cache_folder() / "packages" / name / getattr(package, "MODEL_NAME", f"{name}.gguf")
    if not whole.is_file():
        _assemble(model, package.assemble, whole)
    return whole.parent


def _assemble(model: str, assemble: Any, path: Path) -> None:
    """Put the parts of a package together under a temporary name, then give the file its own."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            assemble(Path(scratch) / path.name)
            (Path(scratch) / path.name).replace(path)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(
            f"model '{model}' cannot be assembled in {path.parent}: {first_line(error)}"
        ) from error


def cache_folder() -> Path:
    """Where files that can be made again are kept: ``moe2-pl`` in ``XDG_CACHE_HOME``, by default ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moe2-pl"


def digest_of(*files: Path) -> str:
    """SHA-256 of a file's content, or of the names and contents of several files.

    The digest of each is remembered under its path, size and time of change, so that a second look reads nothing.
    """
    if len(files) == 1:
        return _file_digest(files[0].resolve())
    whole = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name):
        whole.update(f"{path.name}\0{_file_digest(path.resolve())}\n".encode())
    return whole.hexdigest()


def _file_digest(path: Path) -> str:
    stat = path.stat()
    stamp = [str(path), stat.st_size, stat.st_mtime_ns]
    kept = cache_folder() / "digests" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"
    with suppress(OSError, ValueError, LookupError):
        record = json.loads(kept.read_text())
        if record["stamp"] == stamp:
            return str(record["sha256"])
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    # A cache that cannot be written costs time, never an answer.
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_name(f"{kept.name}.{os.getpid()}.part")
        partial.write_text(json.dumps({"stamp": stamp, "sha256": found}))
        partial.replace(kept)
    return found


def _ending(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in endings)


def closest_folder(name: str) -> str:
    """A hint at a folder beside the one that is missing, in the form that the name has."""
    prefix, root, path = "", Path(), Path(name).expanduser()
    if name.startswith(PACKAGE):
        package, _, inside = name.removeprefix(PACKAGE).partition("/")
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            return ""
        prefix, root = f"{PACKAGE}{package}/", Path(spec.origin).parent
        path = root / inside
    missing = path  # or a folder above it
    while not missing.parent.is_dir() and missing != missing.parent:
        missing = missing.parent
    close = closest(missing.name, [other.name for other in missing.parent.iterdir() if other.is_dir()])
    found = None if close is None else missing.parent / close / path.relative_to(missing)
    if found is None or not found.is_dir():
        return ""
    return f" (did you mean '{prefix}{found.relative_to(root) if prefix else found}'?)"


def _commit(name: str, revision: str | None, file: str) -> str:
    """The commit of the snapshot that a small file of the model comes from."""
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    path = _downloaded(name, file, revision)
    return path.parts[len(path.parts) - 1 - path.parts[::-1].index("snapshots") + 1]


def _downloaded(name: str, file: str, revision: str | None) -> Path:
    """A file of the Hub, from its cache where it is there or the network is not."""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise ConfigError(f"models of the Hub need: pip install 'moe2-pl[experts]' ({error})") from error
    try:
        with _no_word_of_retries():
            return Path(hf_hub_download(name, file, revision=revision))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"model '{name}' is no folder here{closest_folder(name)}, and its '{file}' cannot be had from "
            f"the Hub: {first_line(error)}"
        ) from error


@contextmanager
def _no_word_of_retries() -> Iterator[None]:
    """Without a line for each time that the Hub is asked again; what comes of it is said once."""
    logger = logging.getLogger("huggingface_hub.utils._http")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def is_hub_id(name: str) -> bool:
    """Whether a text has the form of a model's name on the Hub.

    Example:
        >>> is_hub_id("HuggingFaceTB/SmolLM2-135M"), is_hub_id("./models/mine")
        (True, False)
    """
    return _HUB_ID.fullmatch(name) is not None and not name.startswith(".")


def first_line(error: BaseException) -> str:
    """What an error of a library says first."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
