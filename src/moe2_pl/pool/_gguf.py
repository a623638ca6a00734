"""From the header of a GGUF file to the figures that a model's costs depend on."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moe2_pl.errors import ConfigError, PoolError

__all__ = ["gguf_architecture"]

_TABLES = ("token_embd.weight", "output.weight")


def gguf_architecture(path: Path | str) -> dict[str, Any]:
    """The arguments of :class:`Expert` that a GGUF file settles: shapes, and bits as the file stores them.

    Only the header is read (extra ``experts``: the package ``gguf``). Bits are those of the file: a runtime that
    unpacks the weights, as transformers does, reads more.

    Args:
        path: of the file.

    Returns:
        What :func:`architecture` returns, and ``bits`` of the blocks and ``head_bits`` of the tables of tokens.

    Raises:
        ConfigError: the package is not installed.
        PoolError: no such file, not a GGUF file, or one without a figure that is needed.
    """
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise ConfigError(f"reading {path} needs gguf: pip install 'moe2-pl[experts]' ({error})") from error
    if not Path(path).is_file():
        raise PoolError(f"{path} is not a file; a GGUF file is needed")
    try:
        reader = GGUFReader(path)
    except ValueError as error:
        raise PoolError(f"{path} is not a GGUF file: {error}") from error

    def value(key: str) -> Any:
        field = reader.get_field(key)
        return None if field is None else field.contents()

    family = value("general.architecture")

    def need(key: str) -> int:
        found = value(f"{family}.{key}")
        if found is None:
            raise PoolError(f"{path}: the header of this '{family}' model lacks {family}.{key}")
        # Some models give one figure for each block; the mean costs the same.
        return round(sum(found) / len(found)) if isinstance(found, list) else int(found)

    tensors = list(reader.tensors)
    tables = [t for t in tensors if t.name in _TABLES]
    blocks = [t for t in tensors if t.name not in _TABLES]
    if not tables or not blocks:
        raise PoolError(f"{path} holds no token_embd.weight or no blocks; a whole language model is needed")
    params = sum(int(t.n_elements) for t in tensors)
    of_experts = sum(int(t.n_elements) for t in blocks if "_exps." in t.name)
    active = None
    if of_experts:
        active = params - of_experts * (1 - need("expert_used_count") / need("expert_count"))
    hidden, heads = need("embedding_length"), need("attention.head_count")
    head_dim = value(f"{family}.attention.key_length")
    return {
        "params_b": params / 1e9,
        "active_params_b": None if active is None else active / 1e9,
        "layers": need("block_count"),
        "heads": heads,
        "kv_heads": need("attention.head_count_kv"),
        "head_dim": int(head_dim or hidden // heads),
        "hidden": hidden,
        "vocab": int(tables[0].n_elements) // hidden,
        "tied": len(tables) == 1,
        "bits": _bits(blocks),
        "head_bits": _bits(tables),
    }


def _bits(tensors: Iterable[Any]) -> float:
    """Stored bits of a weight, scales included."""
    pairs = [(int(t.n_bytes), int(t.n_elements)) for t in tensors]
    return 8 * sum(size for size, _ in pairs) / sum(count for _, count in pairs)
