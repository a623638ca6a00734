"""What a GGUF file's header says, on a real file and on files that are none."""

import numpy as np
import pytest
from tests.smollm2 import FILE, folder

from moe2_pl.errors import PoolError
from moe2_pl.pool import Expert, architecture, gguf_architecture

SMOLLM2 = {
    "model_type": "llama",
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}


def test_a_header_agrees_with_the_models_configuration():
    read, known = gguf_architecture(folder() / FILE), architecture(SMOLLM2)
    assert {k: read[k] for k in known if k != "params_b"} == {
        k: v for k, v in known.items() if k != "params_b"
    }
    # The file also counts norms, which the formula leaves out.
    assert read["params_b"] == pytest.approx(known["params_b"], rel=1e-3)


def test_bits_are_those_of_the_file():
    path = folder() / FILE
    read = gguf_architecture(path)
    expert = Expert("smollm2", "box", **read)
    # Weights fill the file but for its header and the list of tokens.
    assert expert.weight_gb == pytest.approx(path.stat().st_size / 1e9, rel=0.03)
    assert 4.5 < read["bits"] < 6


def test_experts_of_a_mixture_are_told_apart(tmp_path):
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "moe.gguf", "llama")
    for add, value in (
        (writer.add_block_count, 1),
        (writer.add_embedding_length, 64),
        (writer.add_head_count, 4),
        (writer.add_head_count_kv, 2),
        (writer.add_expert_count, 8),
        (writer.add_expert_used_count, 2),
    ):
        add(value)
    writer.add_tensor("token_embd.weight", np.zeros((100, 64), np.float16))
    writer.add_tensor("blk.0.attn_q.weight", np.zeros((64, 64), np.float32))
    writer.add_tensor("blk.0.ffn_up_exps.weight", np.zeros((8, 32, 64), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    read = gguf_architecture(tmp_path / "moe.gguf")
    assert read["params_b"] == pytest.approx((6400 + 4096 + 16384) / 1e9)
    assert read["active_params_b"] == pytest.approx((6400 + 4096 + 16384 / 4) / 1e9)
    assert (read["vocab"], read["tied"], read["bits"], read["head_bits"]) == (100, True, 32, 16)


def test_what_is_no_gguf_file_is_refused(tmp_path):
    with pytest.raises(PoolError, match="is not a file"):
        gguf_architecture(tmp_path / "nothing.gguf")
    (tmp_path / "text.gguf").write_bytes(b"not a model" * 10)
    with pytest.raises(PoolError, match="is not a GGUF file"):
        gguf_architecture(tmp_path / "text.gguf")
