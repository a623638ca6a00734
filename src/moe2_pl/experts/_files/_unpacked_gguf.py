"""GGUF files unpacked once into a folder that transformers opens at once.

To read a GGUF file, transformers unpacks every tensor and rebuilds the tokenizer, each time: a minute for 250 MB, and
for a moment 2.8 times the memory of the model. What comes out is kept in the cache folder as safetensors, which are
mapped into memory as they are needed and shared between processes.
"""

import logging
import shutil
import tempfile
import time
from pathlib import Path

from moe2_pl.errors import ConfigError
from moe2_pl.experts._files._models import cache_folder, digest_of, first_line

__all__ = ["unpacked"]

_LOG = logging.getLogger(__name__)
_PARTIAL = "partial-"
_ABANDONED_S = 6 * 3600.0


def unpacked(file: Path, dtype: str) -> Path:
    """A folder with the weights of a GGUF file as safetensors, its tokenizer and its configuration.

    Several processes may ask for it at once; whoever is first keeps it.

    Args:
        file: the GGUF file.
        dtype: name of the torch type that its weights are unpacked to.

    Raises:
        ConfigError: the file cannot be read, or the cache folder cannot hold it.
    """
    import transformers

    # Another version may read the same file otherwise.
    kept = cache_folder() / "unpacked" / f"{digest_of(file)}-{dtype}-transformers-{transformers.__version__}"
    if kept.is_dir():
        return kept
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        _sweep(kept.parent)
        scratch = Path(tempfile.mkdtemp(dir=kept.parent, prefix=_PARTIAL))
    except OSError as error:
        raise ConfigError(f"'{file.name}' cannot be unpacked to {kept.parent}: {error}") from error
    _LOG.info(
        "unpacking '%s' (%.0f MB) to %s in %s, which may take minutes; it is kept there and done once",
        file.name, file.stat().st_size / 1e6, dtype, kept.parent,
    )  # fmt: skip
    try:
        _unpack(file, dtype, scratch)
        try:
            scratch.rename(kept)
        except OSError:
            # Another process has finished it meanwhile: theirs will do.
            if not kept.is_dir():
                raise
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ConfigError(
            f"'{file.name}' cannot be unpacked to {kept.parent}: {first_line(error)}"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return kept


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed have left."""
    for left in folder.glob(f"{_PARTIAL}*"):
        if time.time() - left.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)


def _unpack(file: Path, dtype: str, folder: Path) -> None:
    import torch
    import transformers

    with tempfile.TemporaryDirectory() as alone:
        # The file by itself, so that nothing beside it decides what comes out.
        (Path(alone) / file.name).symlink_to(file.resolve())
        tokenizer = transformers.AutoTokenizer.from_pretrained(alone, gguf_file=file.name)
        # Newer versions keep blocks packed where they find kernels for them, and cannot save those.
        config = getattr(transformers, "GgufConfig", None)
        whole = {} if config is None else {"quantization_config": config(dequantize=True)}
        model = transformers.AutoModelForCausalLM.from_pretrained(
            alone, gguf_file=file.name, dtype=getattr(torch, dtype), **whole
        )
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
