"""What a small language model makes of a prompt: real states of SmolLM2, and their projection."""

import numpy as np
import pytest
from tests import smollm2

from moe2_pl.outputs import SignalProjection, prompt_states

PROMPTS = ["What is 2 + 2?", "the cat sat on the mat " * 20, "zqx vbn wrt kjh plm"]


def test_a_projection_is_centred_scaled_and_read_back(tmp_path):
    rng = np.random.default_rng(0)
    states = {
        "last": rng.standard_normal((300, 12)) * np.arange(1, 13),
        "mean": rng.standard_normal((300, 12)) + 5,
        "surprise": rng.random((300, 6)),
    }
    projection = SignalProjection.fit(states, components=(4, 3))
    signals = projection(states)
    assert signals.shape == (300, 4 + 3 + 6)
    np.testing.assert_allclose(signals[:, :7].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(signals[:, :7].std(0, ddof=1), 1, rtol=1e-4)
    np.testing.assert_allclose(signals[:, 7:], states["surprise"], rtol=1e-6)
    projection.save(tmp_path / "projection.safetensors")
    again = SignalProjection.load(tmp_path / "projection.safetensors")
    np.testing.assert_array_equal(again(states), signals)


@pytest.mark.slow
def test_states_do_not_depend_on_the_batch_and_are_read_once(tmp_path):
    folder = str(smollm2.folder())
    states = prompt_states(PROMPTS, folder, gguf_file=smollm2.FILE, cache=tmp_path)
    assert states["last"].shape == states["mean"].shape == (3, 576)
    alone = prompt_states(PROMPTS[:1], folder, gguf_file=smollm2.FILE)
    for name, value in alone.items():
        np.testing.assert_allclose(states[name][:1], value, rtol=1e-3, atol=1e-3)
    nll = states["surprise"][:, 0]
    # A sentence said twenty times surprises less than letters without a meaning.
    assert nll[1] < nll[0] < nll[2]
    # What was read once is taken from the cache: change the entry, and the change comes back.
    [entry] = tmp_path.iterdir()
    np.savez(entry, **{**states, "last": states["last"] + 1})
    again = prompt_states(PROMPTS, folder, gguf_file=smollm2.FILE, cache=tmp_path)
    np.testing.assert_array_equal(again["last"], states["last"] + 1)
