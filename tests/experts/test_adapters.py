"""Experts that differ in their adapter share one base, and none hears another's adapter."""

import gc
import json
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests import tiny_llm

from moe2_pl.errors import ConfigError
from moe2_pl.experts import TransformersBackend
from moe2_pl.experts._files._adapters import BASE_KEY
from moe2_pl.questions import Choices, Prompt

torch.set_num_threads(1)

REQUESTS = [Choices("One and one", (" is two", " are", "!")), Choices("Red", ("is a colour", "wine"))]
PROMPTS = [Prompt("Once upon a time", 12), Prompt("x", 9)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return tiny_llm.save(tmp_path_factory.mktemp("tiny"), seed=3)  # no other test's base


@pytest.fixture(scope="module")
def adapters(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    targets = (("q_proj", "down_proj"), ("v_proj",), ("q_proj", "o_proj", "gate_proj"))
    return [tiny_llm.save_adapter(folder / str(k), k, 2 + k, its) for k, its in enumerate(targets)]


@pytest.fixture
def experts(tiny: Path, adapters: list[Path]):
    """The bare base, and one expert for each adapter."""
    found = [TransformersBackend(str(tiny), device="cpu", adapter=a and str(a)) for a in (None, *adapters)]
    yield found
    for expert in found:
        expert.close()


def merged(tiny: Path, adapter: Path, folder: Path) -> TransformersBackend:
    """A model of its own that has the adapter in its weights."""
    from peft import PeftModel

    base = transformers.AutoModelForCausalLM.from_pretrained(tiny)
    PeftModel.from_pretrained(base, adapter).merge_and_unload().save_pretrained(folder)
    tiny_llm.tokenizer().save_pretrained(folder)
    return TransformersBackend(str(folder), device="cpu")


def test_an_adapter_says_what_a_model_with_merged_weights_says(experts, tiny, adapters, tmp_path):
    for k, (expert, adapter) in enumerate(zip(experts[1:], adapters, strict=True)):
        alone = merged(tiny, adapter, tmp_path / str(k))
        for one, other in zip(expert.score(REQUESTS), alone.score(REQUESTS), strict=True):
            assert one.log_prob == pytest.approx(other.log_prob, abs=1e-3)
        assert expert.generate(PROMPTS) == alone.generate(PROMPTS)
        alone.close()


def test_switching_changes_nothing_and_the_base_stays_bare(experts, tiny):
    alone = TransformersBackend(
        str(tiny), device="cpu", dtype="float32", trust_remote_code=True
    )  # its own base
    bare = alone.score(REQUESTS)
    first = [expert.score(REQUESTS) for expert in experts]
    assert first[0] == bare
    assert len({scored[0].log_prob for scored in first}) == len(experts)
    for k in (2, 0, 3, 1, 0):
        assert experts[k].score(REQUESTS) == first[k]
    alone.close()


def test_the_base_is_loaded_once_and_freed_by_its_last_user(experts):
    before = [expert.score(REQUESTS) for expert in experts]
    assert len({id(expert._lease.base.model) for expert in experts}) == 1
    model = weakref.ref(experts[0]._lease.base.model)

    def size() -> int:
        return sum(p.numel() for p in model().parameters())

    whole = size()
    experts[2].close()
    one_less = size()
    assert one_less < whole
    assert [experts[k].score(REQUESTS) for k in (0, 1, 3)] == [before[k] for k in (0, 1, 3)]
    for expert in experts:
        expert.close()
    gc.collect()
    gone = model() is None
    assert gone
    assert experts[1].score(REQUESTS) == before[1]  # the next call loads again


def test_experts_of_one_base_may_answer_at_once(experts):
    alone = [(expert.score(REQUESTS), expert.generate(PROMPTS)) for expert in experts]
    with ThreadPoolExecutor(4) as threads:
        futures = [
            (k, threads.submit(experts[k].score, REQUESTS), threads.submit(experts[k].generate, PROMPTS))
            for k in [0, 1, 2, 3] * 5
        ]
        for k, scored, written in futures:
            assert (scored.result(), written.result()) == alone[k]


def copied(adapter: Path, folder: Path, metadata: dict[str, str] | None = None, **config) -> Path:
    folder.mkdir()
    settings = json.loads((adapter / "adapter_config.json").read_text()) | config
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    with safe_open(adapter / "adapter_model.safetensors", "pt") as opened:
        kept = opened.metadata()
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(weights, folder / "adapter_model.safetensors", {**kept, **(metadata or {})})
    return folder


def refused(tiny: Path, adapter: Path) -> str:
    backend = TransformersBackend(str(tiny), device="cpu", adapter=str(adapter))
    with pytest.raises(ConfigError) as error:
        backend.score(REQUESTS)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_adapter_of_another_base_is_one_line(tiny, adapters, tmp_path):
    wider = tiny_llm.save(tmp_path / "wider", hidden_size=48)
    assert "needs 32 outputs of 'model.layers.0.mlp.down_proj', and model" in refused(wider, adapters[0])
    for name, layers in (("flat", 1), ("deep", 3)):
        other = tiny_llm.save(tmp_path / name, num_hidden_layers=layers)
        assert "do not agree on 'model.layers." in refused(other, adapters[1])
    # The same shapes, other weights: known only where the adapter says what it was trained on.
    own = TransformersBackend(str(tiny)).files.identity["sha256"]
    named = copied(adapters[1], tmp_path / "named", {BASE_KEY: own})
    backend = TransformersBackend(str(tiny), device="cpu", adapter=str(named))
    backend.score(REQUESTS)
    backend.close()
    twin = tiny_llm.save(tmp_path / "twin", seed=9)
    said = refused(twin, named)
    assert f"was trained on a base with SHA-256 {own[:12]}…, and model '{twin}' has " in said
    called = copied(named, tmp_path / "called", base_model_name_or_path="package:tiny")
    assert f"was trained on 'package:tiny' with SHA-256 {own[:12]}…, and model '{twin}' has " in refused(
        twin, called
    )


def test_a_refused_adapter_leaves_the_base_as_it_was(tiny, adapters, tmp_path):
    bare = TransformersBackend(str(tiny), device="cpu")
    before = bare.score(REQUESTS)
    weights = load_file(adapters[1] / "adapter_model.safetensors")
    strange = copied(adapters[1], tmp_path / "strange")
    save_file(
        {key: value[:, :3].contiguous() for key, value in weights.items()},
        strange / "adapter_model.safetensors",
    )
    assert "it belongs to another base" in refused(tiny, strange)
    assert bare.score(REQUESTS) == before
    bare.close()


def test_an_adapter_of_another_model_of_the_hub_is_one_line(adapters, tmp_path):
    other = copied(adapters[0], tmp_path / "other", base_model_name_or_path="someone/other-model")
    backend = TransformersBackend("someone/this-model", device="cpu", adapter=str(other))
    with pytest.raises(
        ConfigError, match="was trained on 'someone/other-model', not on 'someone/this-model'"
    ):
        backend.score(REQUESTS)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no adapter_config.json, so it is no adapter that PEFT saved"),
        ({"adapter_config.json": "{}"}, "holds no weights; save the adapter as adapter_model.safetensors"),
        ({"adapter_config.json": "{}", "adapter_model.bin": ""}, "holds only a pickle, which can run code"),
    ],
)
def test_a_folder_that_is_no_adapter_is_one_line(tiny, tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        TransformersBackend(str(tiny), adapter=str(tmp_path))


def test_a_misspelt_adapter_of_a_package_is_suggested_as_it_is_given(tiny):
    there = "package:moe2_pl/assets/pocket_mix/adapters"
    with pytest.raises(ConfigError, match=f"adapter .* no such folder .did you mean '{there}/words'"):
        TransformersBackend(str(tiny), adapter=f"{there}/word")


def test_a_damaged_adapter_is_one_line(tiny, adapters, tmp_path):
    damaged = copied(adapters[0], tmp_path / "damaged")
    weights = damaged / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    assert "adapter_model.safetensors cannot be read" in refused(tiny, damaged)
