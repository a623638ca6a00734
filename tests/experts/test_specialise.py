"""Specialists: what they are trained on, how an interrupted training goes on, and the ones that are shipped."""

import json
from pathlib import Path

import pytest

from moe2_pl.errors import CheckpointError
from moe2_pl.questions import SKILLS, skill_questions

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

from moe2_pl.experts import specialise  # noqa: E402 (after the check for what it needs)
from moe2_pl.experts._specialists._stored_adapter import stored_factors  # noqa: E402
from moe2_pl.experts._specialists._training import Recipe, train_adapter  # noqa: E402

SMALL = {"steps": 6, "batch": 4, "rank": 2, "modules": ("q_proj", "v_proj")}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of SmolLM2's kind, small and untrained, with a tokenizer of single characters."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("base")
    signs = {chr(k): k - 31 for k in range(32, 127)} | {"\n": 0, "<unk>": 96}
    tokenizer = Tokenizer(models.WordLevel(signs, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(
        folder
    )
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlamaConfig(vocab_size=97, num_key_value_heads=1, **shape)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def loaded(base: Path):
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    return model, transformers.AutoTokenizer.from_pretrained(base)


def adapter(model) -> dict:
    return {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}


def test_an_interrupted_training_ends_as_an_uninterrupted_one(base: Path, tmp_path: Path):
    recipe = Recipe(("arithmetic", "units"), **SMALL)
    whole = adapter(train_adapter(*loaded(base), recipe, tmp_path / "whole"))

    def interrupted(step: int, loss: float) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_adapter(*loaded(base), recipe, tmp_path / "cut", checkpoint_every=2, told=interrupted)
    steps = []
    resumed = train_adapter(
        *loaded(base),
        recipe,
        tmp_path / "cut",
        checkpoint_every=2,
        told=lambda step, loss: steps.append(step),
    )
    assert steps == [5, 6]
    assert all(torch.equal(weight, whole[name]) for name, weight in adapter(resumed).items())


def test_a_checkpoint_that_was_cut_off_is_not_taken_up(base: Path, tmp_path: Path):
    recipe = Recipe(("arithmetic",), **SMALL)
    whole = adapter(train_adapter(*loaded(base), recipe, tmp_path / "whole"))
    partial = tmp_path / "cut" / "checkpoint.part"
    partial.mkdir(parents=True)
    (partial / "state.pt").write_bytes(b"half of it")
    again = adapter(train_adapter(*loaded(base), recipe, tmp_path / "cut"))
    assert all(torch.equal(weight, whole[name]) for name, weight in again.items())


def test_a_checkpoint_of_another_recipe_is_refused(base: Path, tmp_path: Path):
    train_adapter(*loaded(base), Recipe(("arithmetic",), **SMALL), tmp_path)
    other = Recipe(("units",), **{**SMALL, "rank": 3})
    with pytest.raises(CheckpointError, match=r"of another recipe \(skills .*units.*rank 2 → 3"):
        train_adapter(*loaded(base), other, tmp_path)


def test_the_loss_is_that_of_the_right_options_tokens_alone(base: Path, tmp_path: Path):
    recipe = Recipe(("sequences",), **{**SMALL, "steps": 1, "batch": 5})
    model, tokenizer = loaded(base)
    expected = 0.0
    for question in recipe.questions():
        request = recipe.task.request(question)
        context = tokenizer(request.context, return_tensors="pt").input_ids
        whole = tokenizer(request.context + request.options[question.label], return_tensors="pt").input_ids
        with torch.inference_mode():
            log_p = model(whole).logits.log_softmax(-1)[0, :-1].gather(1, whole[0, 1:, None])[:, 0]
        expected -= float(log_p[context.shape[1] - 1 :].sum()) / 5
    losses = []
    train_adapter(model, tokenizer, recipe, tmp_path, told=lambda step, loss: losses.append(loss))
    assert losses == [pytest.approx(expected, rel=0.01)]  # trained in bfloat16


def test_training_lowers_the_loss_and_leaves_the_base_as_it_was(base: Path, tmp_path: Path):
    model, tokenizer = loaded(base)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    losses = []
    recipe = Recipe(("weekdays",), steps=40, batch=8, rank=4, learning_rate=1e-2)
    adapted = train_adapter(model, tokenizer, recipe, tmp_path, told=lambda step, loss: losses.append(loss))
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])
    after = adapted.unload().state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_no_question_of_the_training_is_one_of_the_evaluation():
    trained = {q.text for q in Recipe(("roman", "clock"), steps=100, batch=24).questions()}
    judged = skill_questions({"roman": 200, "clock": 200}, seed=1, category="specialist")
    assert len(trained) == 2400
    assert not trained & {q.text for q in judged}


@pytest.mark.parametrize("rank", [4, 2])
def test_a_lower_rank_is_the_best_one_for_every_product(base: Path, tmp_path: Path, rank: int):
    recipe = Recipe(
        ("weekdays",), steps=4, batch=8, rank=4, learning_rate=1e-2, modules=("o_proj", "up_proj")
    )
    adapted = train_adapter(*loaded(base), recipe, tmp_path)
    trained = {name: weight.detach() for name, weight in adapted.named_parameters() if weight.requires_grad}
    stored = stored_factors(adapted, rank)
    assert len(stored) == len(trained) == 8
    for name, A in trained.items():
        if "lora_A" not in name:
            continue
        B = trained[name.replace("lora_A", "lora_B")]
        a = stored[name.replace(".default", "")]
        b = stored[name.replace(".default", "").replace("lora_A", "lora_B")]
        assert (a.shape, b.shape) == ((rank, A.shape[1]), (B.shape[0], rank))
        missed = torch.linalg.matrix_norm(B @ A - b.float() @ a.float())
        lost = torch.linalg.svdvals(B @ A)[rank:].square().sum().sqrt()
        assert missed <= 1.02 * lost + 0.01 * torch.linalg.matrix_norm(B @ A)  # bfloat16 keeps three digits


def command(base: Path, out: Path, *more: str) -> list[str]:
    return [
        "--model", str(base), "--out", str(out), "--steps", "3", "--batch", "4", "--rank", "2", "--evaluate", "4",
        "--specialist", "numbers=arithmetic,units", *more,
    ]  # fmt: skip


def test_the_command_makes_adapters_and_a_table_and_makes_none_twice(base: Path, tmp_path: Path, capsys):
    from peft import PeftModel
    from safetensors.torch import load_file

    assert specialise.main(command(base, tmp_path, "--specialist", "time=weekdays")) == 0
    printed = capsys.readouterr().out
    assert "| skill | base | numbers | time |" in printed
    assert printed.count("asking the base") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["numbers", "time"]
    files = {path.name for path in (tmp_path / "numbers").iterdir()}
    assert files == {"adapter_model.safetensors", "adapter_config.json", "specialist.json"}
    weights = load_file(tmp_path / "numbers" / "adapter_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert any(weight.any() for name, weight in weights.items() if "lora_B" in name)
    PeftModel.from_pretrained(loaded(base)[0], tmp_path / "numbers")
    record = json.loads((tmp_path / "numbers" / "specialist.json").read_text())
    assert set(record["before"]) == set(record["after"]) == set(SKILLS)
    assert record["command"].endswith("--evaluate 4 --out adapters")
    stamp = (tmp_path / "numbers" / "adapter_model.safetensors").stat().st_mtime_ns
    assert specialise.main(command(base, tmp_path)) == 0
    assert "numbers: is there already" in capsys.readouterr().out
    assert (tmp_path / "numbers" / "adapter_model.safetensors").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--specialist", "time=weekday"], "unknown skill 'weekday': did you mean 'weekdays'"),
        (["--specialist", "time"], "--specialist 'time': expected NAME=SKILL,SKILL"),
        (["--specialist", "../time=weekdays"], "expected NAME=SKILL,SKILL"),
        (["--specialist", "numbers=roman"], "--specialist 'numbers' is given twice"),
        (["--steps", "0"], "steps is 0; it must be > 0"),
        (["--evaluate", "0"], "--evaluate is 0"),
        (["--modules", "q_porj"], "q_porj"),
        (["--store-rank", "3"], "store_rank is 3; it must lie in 1…2"),
        (["--model", "no/such/folder/here"], "no such folder"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(base: Path, tmp_path: Path, capsys, more, message):
    assert specialise.main(command(base, tmp_path, *more)) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_another_rank_is_stored_without_training_again(base: Path, tmp_path: Path, capsys, monkeypatch):
    from safetensors.torch import load_file

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def full(*given, **named):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(specialise, "store_adapter", full)
        assert specialise.main(command(base, tmp_path / "out")) == 1
    assert capsys.readouterr().err == "error: No space left on device\n"
    assert specialise.main(command(base, tmp_path / "out", "--store-rank", "1")) == 0
    assert "step 3 of 3" not in capsys.readouterr().out
    weights = load_file(tmp_path / "out" / "numbers" / "adapter_model.safetensors")
    assert {weight.shape[0] for name, weight in weights.items() if "lora_A" in name} == {1}
    config = json.loads((tmp_path / "out" / "numbers" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (1, 2)


def test_a_folder_with_something_else_is_not_overwritten(base: Path, tmp_path: Path, capsys):
    (tmp_path / "numbers").mkdir()
    (tmp_path / "numbers" / "mine.txt").write_text("mine")
    assert specialise.main(command(base, tmp_path)) == 1
    assert "holds something else" in capsys.readouterr().err
    assert (tmp_path / "numbers" / "mine.txt").read_text() == "mine"
