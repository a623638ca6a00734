"""Outputs survive saving exactly, damaged files are noticed, and impossible values are refused by name."""

import json
from dataclasses import replace

import numpy as np
import pytest

from moe2_pl.errors import DataError, IntegrityError, MoE2Error
from moe2_pl.outputs import ExpertOutputs, find_outputs


def test_saved_outputs_are_equal_when_loaded(outputs, tmp_path):
    rich = replace(
        outputs,
        log_prob=np.log(np.full((400, 3, 4), 0.25, dtype=np.float32)),
        label=np.zeros(400, dtype=np.int64),
        latency_s=np.ones((400, 3)),
        energy_j=np.ones((400, 3)),
        cost_label=("measured",) * 3,
        provenance={"source": "here"},
    )
    again = ExpertOutputs.load(rich.save(tmp_path / "outputs"))
    assert again.fingerprint() == rich.fingerprint()
    assert again.provenance == {"source": "here"}
    assert again.id.tolist() == rich.id.tolist()
    np.testing.assert_array_equal(again.log_prob, rich.log_prob)


def test_the_fingerprint_changes_with_any_value(outputs):
    changed = outputs.score.copy()
    changed[7, 1] = 1 - changed[7, 1]
    assert replace(outputs, score=changed).fingerprint() != outputs.fingerprint()
    assert replace(outputs, categories=("assistant", "tutor")).fingerprint() != outputs.fingerprint()


@pytest.mark.parametrize("damage", ["truncate", "flip", "no manifest", "no json", "no tensors", "version"])
def test_a_damaged_file_is_noticed(outputs, tmp_path, damage):
    folder = outputs.save(tmp_path / "outputs")
    tensors, manifest = folder / "outputs.safetensors", folder / "manifest.json"
    if damage == "truncate":
        tensors.write_bytes(tensors.read_bytes()[:-100])
    elif damage == "flip":
        blob = bytearray(tensors.read_bytes())
        blob[-1] ^= 1
        tensors.write_bytes(blob)
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "no json":
        manifest.write_text("{")
    elif damage == "no tensors":
        tensors.unlink()
    else:
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format_version": 99}))
    with pytest.raises(IntegrityError) as caught:
        ExpertOutputs.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": np.full((400, 3), 1.5, dtype=np.float32)}, "scores lie in"),
        ({"score": np.full((400, 3), np.nan, dtype=np.float32)}, "expert 'model-0'"),
        ({"score": np.zeros((400, 2), dtype=np.float32)}, r"shape \[400, 2\]; expected \[400, 3\]"),
        ({"id": np.array(["same"] * 400)}, "'same' stands 400 times"),
        ({"category": np.full(400, 9)}, "2 names are given"),
        ({"experts": ("a", "a", "b")}, "'a' twice"),
        ({"experts": ()}, "experts is empty"),
        ({"features": {"minilm": np.zeros((3, 8))}}, r"features\['minilm'\]"),
    ],
)
def test_impossible_values_are_refused_by_name(outputs, change, message):
    with pytest.raises(DataError, match=message):
        replace(outputs, **change)


def test_selecting_experts_keeps_their_columns(outputs):
    two = outputs.select_experts(["model-2", "model-0"])
    np.testing.assert_array_equal(two.score, outputs.score[:, [2, 0]])
    assert two.experts == two.model_id == ("model-2", "model-0")
    with pytest.raises(MoE2Error, match="did you mean 'model-0'"):
        outputs.select_experts(["model-O"])


def test_the_shipped_outputs_hold_figures_only():
    folder = find_outputs("jetson_mix")
    assert sum(f.stat().st_size for f in folder.iterdir()) <= 12e6
    shipped = ExpertOutputs.load(folder)
    assert shipped.score.shape == (6108, 9)
    assert dict(zip(shipped.categories, np.bincount(shipped.category).tolist(), strict=True)) == {
        "assistant": 1800,
        "tutor": 3346,
        "coder": 762,
        "puzzles": 200,
    }
    assert len(shipped.families) == 14
    # The published figure of the best single model, there a mean of held-out parts.
    assert shipped.score.mean(0).max() == pytest.approx(0.613, abs=0.005)
    assert len(np.unique(shipped.group)) == 6108 - 119
    assert {"source", "licence", "commit", "encoder", "built", "columns"} <= set(shipped.provenance)


def test_unknown_outputs_are_answered_with_the_shipped_names():
    with pytest.raises(MoE2Error, match="did you mean 'jetson_mix'"):
        find_outputs("jetson_mx")
