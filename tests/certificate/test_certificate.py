"""The certificate measures what it says: subsets, regret, intervals, monotonicity, its cache."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.conftest import make_outputs

from moe2_pl.certificate import Subset, certify, frontier_subsets, monotonicity, random_subsets
from moe2_pl.errors import CheckpointError
from moe2_pl.gate import fit_gate
from moe2_pl.outputs import ExpertOutputsDataModule
from moe2_pl.pool import ExpertPool
from moe2_pl.selection import Budget, FacilityLocation, SelectionProblem, solve

RECIPE = {
    "optimizer": {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.01},
    "scheduler": None,
    "max_epochs": 4,
    "patience": 4,
}
NETWORK = {"name": "mlp", "hidden": 16, "members": 1}


def pool_of(models: tuple[str, ...]) -> ExpertPool:
    """One expert a model, all on one device that holds them."""
    expert = {"device": "box", "params_b": 1.0, "layers": 4, "kv_heads": 2, "head_dim": 64, "bits": 8.0}
    device = {
        "memory_gb": 64.0,
        "bandwidth_gb_s": 100.0,
        "peak_tflop_s": 10.0,
        "idle_w": 5.0,
        "active_w": 20.0,
    }
    return ExpertPool.from_mapping(
        {
            "name": "test",
            "experts": {m: {**expert, "model_id": m} for m in models},
            "devices": {"box": device},
        }
    )


@pytest.fixture(scope="module")
def trained():
    data = ExpertOutputsDataModule(make_outputs(800), batch_size=64)
    gate = fit_gate(
        data, network=NETWORK, objective={"name": "competence"}, fitted=None, recipe=RECIPE, seed=0
    )
    return gate, data, pool_of(data.outputs.model_id)


def certified(trained, tmp_path=None, **options):
    gate, data, pool = trained
    categories = len(data.outputs.categories)
    energy_j = np.ones((categories, len(pool.experts)))
    defaults = {"frontier": [], "random": random_subsets(pool, categories, 2, seed=0), "seeds": 1}
    return certify(gate, data, pool, energy_j, cache=tmp_path, **(defaults | options))


def test_random_subsets_are_proper_distinct_and_never_more_than_there_are():
    pool = pool_of(("a", "b", "c", "d"))
    subsets = random_subsets(pool, 2, 100, seed=0)
    assert len({s.experts for s in subsets}) == len(subsets) == 2**4 - 4 - 2
    assert {len(s.experts) for s in subsets} == {2, 3}
    assert all(s.allowed.shape == (2, 4) and s.routes for s in subsets)
    again = random_subsets(pool, 2, 3, seed=0)
    assert [s.experts for s in again] == [s.experts for s in random_subsets(pool, 2, 3, seed=0)]


def test_frontier_subsets_are_distinct_and_leave_out_what_no_gate_can_change():
    q = np.random.default_rng(0).random((50, 3))
    problem = SelectionProblem(FacilityLocation(q), energy_j=np.array([1.0, 2.0, 3.0]), latency_s=np.ones(3))
    named = [(str(j), solve(problem, Budget(energy_j=j))) for j in (1.5, 3.5, 9.0)]
    found = frontier_subsets(named)
    assert [s.label for s in found] == ["3.5"]
    assert found[0].experts == named[1][1].experts


def test_regret_is_the_retrained_gates_score_less_the_reused_ones(trained):
    found = certified(trained)
    assert len(found.rows) == 2
    for row in found.rows:
        assert row.regret == pytest.approx(row.retrained - row.reused)
        assert row.low <= row.regret <= row.high
        assert row.same_low <= row.same_regret <= row.same_high
        assert row.objective in ("competence", "mixture", "expected_score")
    assert found.mean_regret == pytest.approx(np.mean([r.regret for r in found.rows]))
    assert found.worst.regret == max(r.regret for r in found.rows)


def test_a_gate_that_answers_at_random_has_regret_beyond_its_interval(trained):
    _, data, pool = trained
    spoilt = fit_gate(
        data, network=NETWORK, objective={"name": "competence"}, fitted=None, recipe=RECIPE, seed=0
    )
    with torch.no_grad():
        for p in spoilt.network.parameters():
            p.normal_(0.0, 3.0)
    found = certified((spoilt, data, pool))
    assert found.mean_low > 0.02


def test_masks_of_the_subset_are_kept_in_every_category(trained):
    gate, data, pool = trained
    categories = len(data.outputs.categories)
    allowed = np.zeros((categories, 3), dtype=bool)
    allowed[:, :2] = True
    allowed[0, 1] = False
    row = certified(
        trained, frontier=[Subset("frontier", "medium", pool.names[:2], allowed)], random=[]
    ).rows[0]
    test = data.split.test
    score, category = data.outputs.score[test], data.outputs.category[test]
    q = gate.predict(data.features(test)).numpy()
    choice = np.where(allowed[category], q, -1).argmax(axis=1)
    assert row.reused == pytest.approx(score[np.arange(len(test)), choice].mean())


def test_finished_gates_are_read_from_the_cache_and_a_damaged_file_is_measured_again(trained, tmp_path):
    first = certified(trained, tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    second = certified(trained, tmp_path)
    assert (first.cached, second.cached) == (0, 2)
    files[0].write_bytes(files[0].read_bytes()[:100])
    third = certified(trained, tmp_path)
    assert third.cached == 1
    assert first.rows == second.rows == third.rows


def test_another_gate_or_seed_is_not_read_from_the_cache(trained, tmp_path):
    _, data, pool = trained
    certified(trained, tmp_path)
    assert certified(trained, tmp_path, seeds=2).cached == 0
    other = fit_gate(
        data, network=NETWORK, objective={"name": "competence"}, fitted=None, recipe=RECIPE, seed=1
    )
    assert certified((other, data, pool), tmp_path).cached == 0


def test_what_is_not_covered_is_named(trained):
    _, data, pool = trained
    allowed = np.ones((len(data.outputs.categories), 3), dtype=bool)
    frontier = [Subset("frontier", name, pool.names, allowed) for name in ("medium", "loose", "tight")]
    found = certified(trained, frontier=frontier, random=[], most_frontier=1)
    assert [r.label for r in found.rows] == ["medium"]
    assert (found.uncovered, found.frontier) == (("loose", "tight"), 3)


def test_a_gate_without_its_recipe_cannot_be_certified(trained):
    gate, data, pool = trained
    gate.recipe, kept = None, gate.recipe
    try:
        with pytest.raises(CheckpointError, match="does not say how its gate was trained"):
            certified((gate, data, pool))
    finally:
        gate.recipe = kept


def test_falls_are_counted_where_a_larger_subset_answers_worse():
    # Model 1 is preferred to model 0 on the query where it is wrong.
    rank, score = np.array([[0.2, 0.9], [0.5, 0.9]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    found = monotonicity(rank, score)
    assert found.pairs == 2
    assert found.falls == 0.0
    worse = monotonicity(rank, np.array([[1.0, 0.0], [1.0, 1.0]]))
    assert (worse.falls, worse.largest_fall) == (0.5, 0.5)


def test_perfect_ranking_never_falls_and_many_models_are_sampled():
    score = np.random.default_rng(1).random((40, 14))
    found = monotonicity(score, score)
    assert found.falls == 0.0
    assert 512 < found.pairs < 512 * 14
    assert replace(found, pairs=0) == replace(monotonicity(score, score), pairs=0)
