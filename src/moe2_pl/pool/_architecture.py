"""From a model's own configuration to the figures that its costs depend on."""

from collections.abc import Mapping
from typing import Any

from moe2_pl.errors import PoolError, UnknownNameError

__all__ = ["architecture"]

# Decoders with gated perceptrons, whose parameters the formula below counts; True: output head and embedding are
# one table where the configuration leaves it open.
_FAMILIES = {
    "gemma": True,
    "gemma2": True,
    "gemma3_text": True,
    "llama": False,
    "mistral": False,
    "mixtral": False,
    "phi3": False,
    "qwen2": False,
    "qwen3": False,
    "qwen3_moe": False,
}


def architecture(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of :class:`Expert` that a Hugging Face ``config.json`` settles.

    Parameters are counted from the shapes of a decoder with grouped-query attention and gated perceptrons, experts
    of a mixture apart; biases and norms, some .01 %, are left out.

    Args:
        config: a ``config.json``, or ``transformers.AutoConfig.from_pretrained(…).to_dict()``.

    Returns:
        ``params_b``, ``active_params_b`` (None for dense models), ``layers``, ``heads``, ``kv_heads``, ``head_dim``,
        ``hidden``, ``vocab``, ``tied``.

    Raises:
        UnknownNameError: a ``model_type`` whose shapes are not known here.
        PoolError: an entry that is missing.

    Example:
        >>> smollm2 = {"model_type": "llama", "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9,
        ...            "num_key_value_heads": 3, "intermediate_size": 1536, "vocab_size": 49152,
        ...            "tie_word_embeddings": True}
        >>> round(architecture(smollm2)["params_b"], 3)
        0.134
    """
    family = config.get("model_type")
    if family not in _FAMILIES:
        raise UnknownNameError("model_type", str(family), _FAMILIES)

    def need(*names: str) -> int:
        for name in names:
            if config.get(name) is not None:
                return int(config[name])
        raise PoolError(f"the configuration of this '{family}' model lacks {names[0]}")

    hidden, layers, heads = need("hidden_size"), need("num_hidden_layers"), need("num_attention_heads")
    kv_heads = int(config.get("num_key_value_heads") or heads)
    head_dim = int(config.get("head_dim") or hidden // heads)
    vocab = need("vocab_size")
    tied = bool(config.get("tie_word_embeddings", _FAMILIES[family]))
    attention = 2 * hidden * head_dim * (heads + kv_heads)
    tables = (1 if tied else 2) * vocab * hidden
    active = None
    if family in ("mixtral", "qwen3_moe"):
        one = 3 * hidden * need("moe_intermediate_size", "intermediate_size")
        experts = need("num_experts", "num_local_experts")
        shared = attention + hidden * experts
        per_layer = shared + experts * one
        active = tables + layers * (shared + need("num_experts_per_tok") * one)
    else:
        per_layer = attention + 3 * hidden * need("intermediate_size")
    return {
        "params_b": (tables + layers * per_layer) / 1e9,
        "active_params_b": None if active is None else active / 1e9,
        "layers": layers,
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "hidden": hidden,
        "vocab": vocab,
        "tied": tied,
    }
