"""GGUF files as llama.cpp runs them: near what transformers makes of the unpacked file, by the same rules."""

import sys
from pathlib import Path

import pytest
from tests import smollm2, tiny_llm

from moe2_pl.errors import ConfigError
from moe2_pl.experts import Generated, LlamaCppBackend, TooLong, TransformersBackend
from moe2_pl.questions import Choices, Prompt

REQUESTS = [
    Choices("The capital of France is", (" Paris", " Rome", " a very small village")),
    Choices("Two and two is ", ("four", "a colour")),
    Choices("", ("Hello", "Good morning")),
    Choices("What is the colour of grass?", ("Green", "Violet"), chat=True),
    Choices("one two three " * 60, (" four five", " one two")),
]
PROMPTS = [
    Prompt("1, 2, 3, 4,", 12),
    Prompt("The capital of France is", 12, (".",)),
    Prompt("What is 2+3?", 12, chat=True),
]


@pytest.fixture(scope="module")
def quantised():
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    found = LlamaCppBackend(str(smollm2.folder()), file=smollm2.FILE, context_tokens=400, threads=1)
    yield found
    found.close()


@pytest.fixture(scope="module")
def unpacked():
    found = TransformersBackend(str(smollm2.folder()), file=smollm2.FILE, device="cpu", context_tokens=400)
    yield found
    found.close()


@pytest.mark.slow
def test_quantised_log_likelihoods_are_near_the_unpacked_ones(quantised, unpacked):
    for ours, theirs in zip(quantised.score(REQUESTS), unpacked.score(REQUESTS), strict=True):
        # The same tokens, so the same rules; other arithmetic.
        assert (ours.tokens, ours.prompt_tokens) == (theirs.tokens, theirs.prompt_tokens)
        assert ours.log_prob == pytest.approx(theirs.log_prob, rel=0.05, abs=0.3)
        assert ours.prefill_s > 0


@pytest.mark.slow
def test_the_options_of_a_request_do_not_see_each_other(quantised):
    together = quantised.score(REQUESTS)
    for request, scored in zip(REQUESTS, together, strict=True):
        for option, value in zip(request.options, scored.log_prob, strict=True):
            (alone,) = quantised.score([Choices(request.context, (option,), request.chat)])
            assert alone.log_prob[0] == pytest.approx(value, abs=2e-2)


@pytest.mark.slow
def test_quantised_answers_are_written(quantised, unpacked):
    written = quantised.generate(PROMPTS)
    assert [type(answer) for answer in written] == [Generated] * 3
    assert written[0].text == unpacked.generate(PROMPTS)[0].text == " 5, 6, 7, 8,"
    assert written[1].text == " Paris"
    assert "5" in written[2].text
    assert written == quantised.generate(PROMPTS)


@pytest.mark.slow
def test_what_is_too_long_for_the_quantised_model_is_told(quantised):
    long, short = Choices("word " * 500, (" one two",)), REQUESTS[0]
    first, second = quantised.score([long, short])
    assert isinstance(first, TooLong)
    assert (first.prompt_tokens > 500, first.context_tokens) == (True, 400)
    assert second == quantised.score([short])[0]
    assert isinstance(quantised.generate([Prompt("word " * 390, 20)])[0], TooLong)


def test_an_identity_is_that_of_the_file():
    here = LlamaCppBackend(str(smollm2.folder()), file=smollm2.FILE)
    there = TransformersBackend(str(smollm2.folder()), file=smollm2.FILE)
    assert here.identity["model"] == there.identity["model"]
    assert here.identity != there.identity
    assert here.identity == LlamaCppBackend(str(smollm2.folder()), threads=1).identity
    assert here._loaded is None


def test_without_the_library_it_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    backend = LlamaCppBackend(str(smollm2.folder()), file=smollm2.FILE)
    with pytest.raises(
        ConfigError, match=r"run by llama.cpp, which needs: pip install llama-cpp-python"
    ) as error:
        backend.score(REQUESTS)
    assert "\n" not in str(error.value)


def test_what_llama_cpp_cannot_run_is_one_line(tmp_path: Path):
    with pytest.raises(ConfigError, match="which needs a GGUF file; name one as file"):
        LlamaCppBackend(str(tiny_llm.save(tmp_path / "tiny")))
    with pytest.raises(ConfigError, match="context_tokens is 0; need at least 1"):
        LlamaCppBackend(str(smollm2.folder()), context_tokens=0)


@pytest.mark.slow
def test_a_damaged_file_is_one_line(tmp_path: Path):
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    (tmp_path / "x.gguf").write_bytes((smollm2.folder() / smollm2.FILE).read_bytes()[:5000])
    with pytest.raises(ConfigError, match=r"cannot be loaded by llama.cpp") as error:
        LlamaCppBackend(str(tmp_path)).score(REQUESTS)
    assert "\n" not in str(error.value)
