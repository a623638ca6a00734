"""Models that transformers runs: what they say is what the plain forward pass says, whatever is shared or batched."""

import copy
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file
from tests import tiny_llm

from moe2_pl.errors import ConfigError, DataError, MoE2Error
from moe2_pl.experts import Generated, Scored, TooLong, TransformersBackend, answer_of, ask
from moe2_pl.experts._in_process._generating import Job, write
from moe2_pl.experts._in_process._scoring import Reader
from moe2_pl.experts._in_process._trees import token_tree
from moe2_pl.questions import Choices, Prompt

torch.set_num_threads(1)

SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
HEADS = {"num_key_value_heads": 2, "intermediate_size": 48, "initializer_range": 0.3}
FAMILIES = {
    # name: (configuration, whether prefixes are shared)
    "llama": (transformers.LlamaConfig(**SIZES, **HEADS), True),
    "qwen2": (transformers.Qwen2Config(**SIZES, **HEADS), True),
    "qwen3_moe": (
        transformers.Qwen3MoeConfig(
            **SIZES, **HEADS, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16
        ),
        True,
    ),
    "mistral with a window of 9": (transformers.MistralConfig(**SIZES, **HEADS, sliding_window=9), True),
    "gemma2, capped logits": (
        transformers.Gemma2Config(
            **SIZES, **HEADS, head_dim=8, final_logit_softcapping=3.0, sliding_window=9
        ),
        True,
    ),
    "gemma3 with windows of 9": (
        transformers.Gemma3TextConfig(**SIZES, **HEADS, head_dim=8, sliding_window=9),
        True,
    ),
    "granite, scaled logits": (transformers.GraniteConfig(**SIZES, **HEADS, logits_scaling=4.0), True),
    "cohere, scaled logits": (transformers.CohereConfig(**SIZES, **HEADS, logit_scale=0.5), True),
    "gpt2, learnt positions": (
        transformers.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3),
        True,
    ),
    "bloom, positions in the mask": (
        transformers.BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3),
        False,
    ),
    "mamba, no attention": (
        transformers.MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, state_size=8),
        False,
    ),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return tiny_llm.save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def backend(tiny: Path):
    found = TransformersBackend(str(tiny), device="cpu", tokens_per_batch=128)
    yield found
    found.close()


def plainly(model, context: list[int], option: list[int]) -> float:
    """log p of the option, from one unpadded row and all its logits."""
    with torch.inference_mode():
        logits = model(torch.tensor([context + option])).logits[0].float().log_softmax(-1)
    return sum(float(logits[len(context) + k - 1, token]) for k, token in enumerate(option))


@pytest.mark.parametrize("name", FAMILIES)
def test_sharing_prefixes_changes_no_log_likelihood(name: str):
    config, shared = FAMILIES[name]
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    draw = torch.Generator().manual_seed(1)

    def tokens(n: int) -> list[int]:
        return torch.randint(2, 64, (n,), generator=draw).tolist()

    start = tokens(2)
    requests = [
        (tokens(3), [tokens(1), tokens(4), tokens(2)]),
        (
            tokens(20),
            [start + tokens(2), start + tokens(3), start],
        ),  # beyond the windows; options begin alike
        (tokens(1), [tokens(1), tokens(1)]),
        (tokens(6), [tokens(5)]),
    ]
    reader = Reader(model)
    assert (reader.shares_prefixes, reader.weighs_only_needed) == (shared, True)
    for budget in (1, 64, 1000):
        scored = reader.score([token_tree(*request) for request in requests], budget)
        for (context, options), its in zip(requests, scored, strict=True):
            wanted = [plainly(model, context, option) for option in options]
            assert its.log_prob == pytest.approx(wanted, abs=2e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_answers_of_every_family_are_those_of_transformers(name: str):
    config = copy.deepcopy(FAMILIES[name][0])
    config.vocab_size = 258
    config.bos_token_id, config.eos_token_id, config.pad_token_id = 0, 1, 1
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    prompts = [[5, 6, 7], list(range(40, 62)), [9], [30, 3] * 7]
    jobs = [Job(prompt, limit) for prompt, limit in zip(prompts, (14, 5, 12, 3), strict=True)]
    if name.startswith("mamba"):
        with pytest.raises(ConfigError, match="MambaForCausalLM keeps no cache of keys and values"):
            write(model, tiny_llm.tokenizer(), jobs, 1000)
        return
    write(model, tiny_llm.tokenizer(), jobs, 1000)
    for job in jobs:
        whole = model.generate(
            torch.tensor([job.prompt]), max_new_tokens=job.limit, do_sample=False, pad_token_id=1
        )
        assert job.written == whole[0, len(job.prompt) :].tolist()


def test_only_what_is_needed_is_weighed_against_the_vocabulary():
    model = tiny_llm.llama()
    weighed: list[int] = []
    model.lm_head.register_forward_hook(lambda module, given, output: weighed.append(output.shape[0]))
    reader = Reader(model)
    weighed.clear()
    tree = token_tree([5] * 90, [[6], [7], [8, 9, 10]])
    reader.score([tree] * 3, 1000)
    # After the context and after two of the third option's tokens.
    assert sum(weighed) == 3 * 3


def test_scores_are_those_of_the_texts(backend: TransformersBackend, tiny: Path):
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    (scored,) = backend.score([Choices("Colour of grass: ", ("green", "red"))])
    # White space at the end of the context belongs to the option.
    context = tokenizer("Colour of grass:")["input_ids"]
    wanted = [plainly(model, context, tokenizer(f" {option}")["input_ids"]) for option in ("green", "red")]
    assert scored.log_prob == pytest.approx(wanted, abs=2e-4)
    assert (scored.tokens, scored.prompt_tokens) == ((6, 4), 16)


def test_an_empty_context_is_the_begin_of_text_token(backend: TransformersBackend, tiny: Path):
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny)
    a, begin = tiny_llm.tokenizer()("a")["input_ids"], 0
    empty, named = backend.score([Choices("", ("a", "<s>a")), Choices("<s>", ("a",))])
    assert empty.log_prob == pytest.approx([plainly(model, [begin], a)] * 2, abs=2e-4)
    assert named.log_prob == pytest.approx(empty.log_prob[:1], abs=1e-5)


def test_a_chat_is_the_template_around_the_context(backend: TransformersBackend):
    chat, text = backend.score(
        [Choices("2+2?", ("4", "5"), chat=True), Choices("<user>2+2?</user><assistant>", ("4", "5"))]
    )
    assert chat.log_prob == pytest.approx(text.log_prob, abs=1e-5)
    (answered,) = backend.generate([Prompt("2+2?", 5, chat=True)])
    assert answered == backend.generate([Prompt("<user>2+2?</user><assistant>", 5)])[0]


def test_a_model_without_a_chat_template_is_one_line(tmp_path: Path):
    backend = TransformersBackend(str(tiny_llm.save(tmp_path, chat_template=None)), device="cpu")
    with pytest.raises(ConfigError, match="has no chat template, so it cannot be asked with chat: true"):
        backend.score([Choices("2+2?", ("4",), chat=True)])
    assert isinstance(backend.score([Choices("2+2?", ("4",))])[0], Scored)
    backend.close()


def test_what_is_too_long_is_told_and_nothing_is_cut(backend: TransformersBackend, tiny: Path):
    fits, longer = Choices("x" * 126, ("abc", "a")), Choices("x" * 127, ("abc", "a"))
    first, second, third = backend.score([longer, fits, Choices("y", ("z",))])
    # The last token of an option is predicted, not read: 127 + 3 − 1.
    assert first == TooLong(129, 128)
    assert [type(second), type(third)] == [Scored, Scored]
    assert backend.generate([Prompt("x" * 120, 9), Prompt("x" * 120, 8)])[0] == TooLong(129, 128)
    short = TransformersBackend(str(tiny), device="cpu", context_tokens=10)
    assert short.score([Choices("x" * 9, ("abc",))]) == [TooLong(11, 10)]
    short.close()
    large = TransformersBackend(str(tiny), device="cpu", context_tokens=1000)
    with pytest.raises(ConfigError, match="context_tokens is 1000; the model holds 128"):
        large.score([fits])
    large.close()


def test_an_option_that_adds_no_token_is_named(backend: TransformersBackend):
    backend.score([Choices("a", ("b",))])
    tokenizer = backend._lease.base.tokenizer
    tokenizer.add_tokens(["xy"])
    try:
        with pytest.raises(DataError, match="option 'y' adds no token to its context …'x'"):
            backend.score([Choices("x", ("y",))])
    finally:
        tokenizer.added_tokens_encoder.clear()
        backend.close()


REQUESTS = [Choices("word " * k, tuple(f"opt{j}" * (j + 1) for j in range(1 + k % 4))) for k in range(1, 14)]
PROMPTS = [Prompt("ab" * k, 3 + 2 * (k % 5), ("\n", "e") if k % 2 else ()) for k in range(1, 14)]


def test_an_answer_does_not_depend_on_its_batch(backend: TransformersBackend, tiny: Path):
    together, written = backend.score(REQUESTS), backend.generate(PROMPTS)
    alone = [backend.score([request])[0] for request in REQUESTS]
    large = TransformersBackend(str(tiny), device="cpu")
    for one, many, all_at_once in zip(alone, together, large.score(REQUESTS[::-1])[::-1], strict=True):
        assert many.log_prob == pytest.approx(one.log_prob, abs=1e-4)
        assert all_at_once.log_prob == pytest.approx(one.log_prob, abs=1e-4)
    assert written == [backend.generate([prompt])[0] for prompt in PROMPTS] == large.generate(PROMPTS)
    large.close()


def test_greedy_answers_are_those_of_transformers(backend: TransformersBackend, tiny: Path):
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    for answer, prompt in zip(backend.generate(PROMPTS), PROMPTS, strict=True):
        ids = tokenizer(prompt.text, return_tensors="pt")
        whole = model.generate(**ids, max_new_tokens=prompt.max_tokens, do_sample=False, pad_token_id=1)
        text = tokenizer.decode(whole[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        for stop in prompt.stop:
            text = text.split(stop)[0]
        assert answer.text == text


def test_a_stop_text_ends_an_answer_early_and_is_not_in_it(backend: TransformersBackend):
    (free,) = backend.generate([Prompt("Once", 30)])
    stop = free.text[4:6]
    at = free.text.index(stop)
    (stopped, neighbour) = backend.generate([Prompt("Once", 30, (stop,)), Prompt("Once", 30)])
    assert stopped.text == free.text[:at]
    assert stopped.tokens < free.tokens
    assert neighbour == free


def test_seconds_are_shared_among_a_batch(backend: TransformersBackend):
    scored, written = backend.score(REQUESTS), backend.generate(PROMPTS)
    assert all(answer.prefill_s > 0 for answer in [*scored, *written])
    assert all(answer.decode_s > 0 for answer in written if answer.tokens > 1)
    assert scored[0] == replace(scored[0], prefill_s=1.0)  # when is not part of what


def test_records_keep_answers_and_how_long_reading_and_writing_took(backend: TransformersBackend):
    requests = {str(k): request for k, request in enumerate([*REQUESTS, *PROMPTS])}
    records = ask(backend, requests, None)
    kept = json.loads(json.dumps(records))
    assert [answer_of(kept[key]) for key in requests] == [
        *backend.score(REQUESTS),
        *backend.generate(PROMPTS),
    ]
    for record in kept.values():
        assert answer_of(record).prefill_s == record["prefill_s"] > 0
    total = sum(record["prefill_s"] + record.get("decode_s", 0.0) for record in kept.values())
    assert 0 < total <= sum(record["seconds"] for record in kept.values())


def test_an_identity_is_known_without_loading_and_names_what_answers_depend_on(tiny: Path, tmp_path: Path):
    def identity(folder: Path = tiny, **settings) -> str:
        backend = TransformersBackend(str(folder), **settings)
        found = json.dumps(backend.identity)
        assert backend._lease is None
        return found

    assert identity() == identity(tokens_per_batch=7, device="cpu")
    others = {
        identity(dtype="bfloat16"),
        identity(context_tokens=50),
        identity(adapter=str(tiny_llm.save_adapter(tmp_path / "adapter"))),
        identity(tiny_llm.save(tmp_path / "other", seed=1)),
        identity(),
    }
    assert len(others) == 5


def test_half_precision_answers_too(tiny: Path, backend: TransformersBackend):
    half = TransformersBackend(str(tiny), device="cpu", dtype="bfloat16")
    (coarse,), (fine,) = half.score(REQUESTS[:1]), backend.score(REQUESTS[:1])
    assert coarse.log_prob == pytest.approx(fine.log_prob, rel=0.1)
    assert coarse.log_prob != fine.log_prob
    assert isinstance(half.generate(PROMPTS[:1])[0], Generated)
    half.close()


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_are_not_opened(tiny: Path, tmp_path: Path):
    folder, trace = tiny_llm.save(tmp_path / "model"), tmp_path / "was_run"
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Malicious(trace)))
    with pytest.raises(ConfigError, match=r"only as pickles \(pytorch_model.bin\), which can run code"):
        TransformersBackend(str(folder))
    # Even allowed, only tensors are read.
    with pytest.raises(ConfigError, match="cannot be loaded"):
        TransformersBackend(str(folder), device="cpu", allow_pickle=True).score(REQUESTS)
    assert not trace.exists()
    torch.save(weights, folder / "pytorch_model.bin")
    allowed, safe = (TransformersBackend(str(f), device="cpu", allow_pickle=True) for f in (folder, tiny))
    assert allowed.score(REQUESTS[:2]) == safe.score(REQUESTS[:2])
    allowed.close()
    safe.close()


def test_code_of_a_model_does_not_run_unless_it_is_trusted(tmp_path: Path):
    folder, trace = tiny_llm.save(tmp_path / "model"), tmp_path / "was_run"
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.Mine", "AutoModelForCausalLM": "mine.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(f"import pathlib\npathlib.Path({str(trace)!r}).touch()\n")
    with pytest.raises(ConfigError, match="cannot be loaded") as refused:
        TransformersBackend(str(folder), device="cpu").score(REQUESTS)
    assert "\n" not in str(refused.value)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "float31"}, "unknown dtype 'float31': did you mean 'float"),
        ({"device": "gpu7"}, "device 'gpu7' is not a torch device"),
        ({"tokens_per_batch": 0}, "tokens_per_batch is 0; need at least 1"),
        ({"file": "x.gguf"}, "holds no x.gguf; its GGUF files: none"),
        ({"revision": "main"}, "revision 'main' is given, but model .* is a folder"),
        ({"adapter": "/no/such"}, "adapter '/no/such': there is no such folder"),
    ],
)
def test_what_cannot_be_run_is_one_line(tiny: Path, settings: dict, message: str):
    with pytest.raises(MoE2Error, match=message) as error:
        TransformersBackend(str(tiny), **settings).score(REQUESTS)
    assert "\n" not in str(error.value)


def test_damaged_weights_are_one_line(tmp_path: Path):
    folder = tiny_llm.save(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="cannot be loaded") as error:
        TransformersBackend(str(folder), device="cpu").score(REQUESTS)
    assert "\n" not in str(error.value)
