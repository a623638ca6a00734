"""Parameters counted from a configuration are those of the model that transformers builds from it."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from moe2_pl.errors import PoolError, UnknownNameError
from moe2_pl.pool import Expert, architecture

QWEN3 = {"model_type": "qwen3", "head_dim": 128, "vocab_size": 151936, "num_key_value_heads": 8}
CONFIGS = {
    "Llama-3.1-8B": {
        "model_type": "llama",
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "vocab_size": 128256,
        "tie_word_embeddings": False,
    },
    "Qwen3-0.6B": {
        **QWEN3,
        "hidden_size": 1024,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "intermediate_size": 3072,
        "tie_word_embeddings": True,
    },
    "Qwen3-30B-A3B": {
        **QWEN3,
        "model_type": "qwen3_moe",
        "hidden_size": 2048,
        "num_hidden_layers": 48,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "intermediate_size": 6144,
        "moe_intermediate_size": 768,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "tie_word_embeddings": False,
    },
    "gemma-2-9b": {
        "model_type": "gemma2",
        "hidden_size": 3584,
        "num_hidden_layers": 42,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 256,
        "intermediate_size": 14336,
        "vocab_size": 256000,
    },
}


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_those_of_the_model(name):
    given = dict(CONFIGS[name])
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(given.pop("model_type"), **given))
    found = architecture(CONFIGS[name])
    assert found["params_b"] * 1e9 == pytest.approx(model.num_parameters(), rel=1e-3)
    assert Expert("llm", "box", bits=16, **found).weight_gb == pytest.approx(
        2 * model.num_parameters() / 1e9, rel=1e-3
    )


def test_of_a_mixture_only_the_chosen_experts_are_active():
    # 3.3 billion, says the model's card.
    assert architecture(CONFIGS["Qwen3-30B-A3B"])["active_params_b"] == pytest.approx(3.3, abs=0.06)
    assert architecture(CONFIGS["Llama-3.1-8B"])["active_params_b"] is None


def test_what_is_not_known_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'llama'"):
        architecture({"model_type": "lama"})
    with pytest.raises(PoolError, match="lacks vocab_size"):
        architecture({k: v for k, v in CONFIGS["gemma-2-9b"].items() if k != "vocab_size"})
    with pytest.raises(PoolError, match="give both or neither"):
        Expert("llm", "box", 8.0, 32, 8, 128, 4.0, vocab=32000)
    with pytest.raises(PoolError, match="too large"):
        Expert("llm", "box", 0.1, 32, 8, 128, 4.0, vocab=32000, hidden=4096)
