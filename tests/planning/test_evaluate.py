"""Planning as a library: from a gate, a pool and outputs to results, without a configuration and without files."""

import ast
from pathlib import Path

import lightning as L
import pytest
from tests.conftest import make_outputs

import moe2_pl.planning
from moe2_pl.errors import ConfigError, DataError, InfeasibleBudgetError, UnknownNameError
from moe2_pl.gate import GatingModule
from moe2_pl.outputs import ExpertOutputsDataModule
from moe2_pl.planning import Results, evaluate
from moe2_pl.pool import ExpertPool
from moe2_pl.report import write_report
from moe2_pl.selection import Budget

DEVICE = {
    "memory_gb": 20.0,
    "bandwidth_gb_s": 200.0,
    "peak_tflop_s": 30.0,
    "idle_w": 8.0,
    "active_w": 40.0,
}
HOW = {"queries_per_s": 0.1}


@pytest.fixture(scope="module")
def line() -> tuple[ExpertPool, ExpertOutputsDataModule, GatingModule]:
    """A pool of two devices, outputs of its models, and a gate that knows each category's mean score."""
    L.seed_everything(0, verbose=False)
    data = ExpertOutputsDataModule(make_outputs(400), batch_size=64)
    data.setup()
    sizes = dict(zip(data.outputs.model_id, (2.0, 7.0, 13.0), strict=True))
    expert = {"bits": 4.5, "layers": 32, "kv_heads": 8, "head_dim": 128}
    pool = ExpertPool.from_mapping(
        {
            "name": "two boxes",
            "devices": {"left": DEVICE, "right": DEVICE | {"idle_w": 20.0}},
            "experts": {
                name: expert
                | {"model_id": name, "params_b": size, "device": "left" if size < 10 else "right"}
                for name, size in sizes.items()
            },
        }
    )
    gate = GatingModule(data.spec, data.outputs.model_id, {"name": "prior"})
    gate.fit_statistics(lambda: data.parts(data.split.train))
    gate.freeze()
    return pool, data, gate


def test_a_budget_in_limits_is_planned_and_realised(line):
    found = evaluate(*line, budget=Budget(energy_j=2000.0, latency_s=60.0), **HOW)
    assert found.chosen.status == "optimal"
    assert found.chosen.energy_j < 2000
    assert found.chosen.latency_s < 60
    assert {row.budget for row in found.presets} == {"tight", "medium", "loose", "unlimited"}
    assert {row.baseline for row in found.baselines} >= {"MoE²", "lookup", "best single expert"}


def test_a_looser_preset_never_plans_less(line):
    tight, medium, loose, free = evaluate(*line, **HOW).presets
    assert tight.planned <= medium.planned <= loose.planned <= free.planned


def test_results_come_back_from_json_and_make_the_same_report(line, tmp_path):
    found = evaluate(*line, budget={"energy_j": 2000.0}, **HOW)
    again = Results.from_json(found.to_json())
    assert again.to_json() == found.to_json()
    pages = [write_report(one, tmp_path / name).read_text() for name, one in (("a", found), ("b", again))]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("text", ["{", "[]", '{"title": "no more"}'])
def test_other_json_is_refused(text):
    with pytest.raises(DataError, match="no JSON of Results"):
        Results.from_json(text)


def test_what_cannot_be_planned_is_said_in_a_line(line):
    with pytest.raises(UnknownNameError, match="did you mean 'medium'"):
        evaluate(*line, budget="meduim", **HOW)
    with pytest.raises(InfeasibleBudgetError, match="budget 'chosen'"):
        evaluate(*line, budget=Budget(energy_j=1e-3), **HOW)
    with pytest.raises(ConfigError, match="max_utilisation is 2"):
        evaluate(*line, max_utilisation=2, **HOW)


def test_planning_knows_no_hydra():
    for file in Path(moe2_pl.planning.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("hydra", "omegaconf") for name in names), file
