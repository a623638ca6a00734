"""One model in several places: precisions, power modes of a box, adapters that share their base."""

import numpy as np
import pytest

from moe2_pl.errors import MoE2Error
from moe2_pl.pool import ExpertPool, roofline_costs

ORIN = {
    "memory_gb": 24.0,
    "bandwidth_gb_s": 200.0,
    "peak_tflop_s": 40.0,
    "idle_w": 12.0,
    "active_w": 45.0,
    "modes": {"15W": {"peak_tflop_s": 5.0, "idle_w": 8.0, "active_w": 18.0}},
}
LLAMA = {"params_b": 8.0, "layers": 32, "kv_heads": 8, "head_dim": 128, "bits": 8.0}
PLACEMENTS = {
    "full": {"device": "orin"},
    "low": {"device": "orin", "mode": "15W", "bits": 4.5, "quality_loss": 0.01},
    "other": {"device": "box", "bits": 4.5},
}


def pool(experts: dict, **devices: dict) -> ExpertPool:
    return ExpertPool.from_mapping(
        {"name": "home", "experts": experts, "devices": devices or {"orin": ORIN, "box": ORIN}}
    )


def test_placements_are_experts_of_one_model():
    fleet = pool({"llama": {**LLAMA, "placements": PLACEMENTS}})
    assert fleet.names == ("llama@full", "llama@low", "llama@other")
    assert fleet.model_ids == ("llama",)
    assert [e.device for e in fleet.experts] == ["orin", "orin@15W", "box"]
    assert fleet.device_names == ("orin", "orin@15W", "box")
    assert fleet.box.tolist() == [0, 0, 1]
    assert fleet.idle_w.tolist() == [12.0, 8.0, 12.0]
    assert fleet.all_idle_w == 24.0
    np.testing.assert_allclose(fleet.expand(np.array([[0.5]])), [[0.5, 0.49, 0.5]])


def test_a_slower_mode_reads_slower_and_draws_less():
    fleet = pool({"llama": {**LLAMA, "device": "orin", "placements": {"full": {}, "low": {"mode": "15W"}}}})
    costs = roofline_costs(fleet, np.array([1000]), np.zeros((1, 2)))
    assert costs.busy_s[0, 1] == pytest.approx(8 * costs.busy_s[0, 0])
    assert costs.energy_j[0, 1] == pytest.approx(8 * costs.energy_j[0, 0] * 10 / 33)


def test_a_device_used_only_in_modes_stands_there_only_in_them():
    fleet = pool({"llama": {**LLAMA, "bits": 4.5, "device": "orin", "mode": "15W"}}, orin=ORIN)
    assert fleet.device_names == ("orin@15W",)


def test_a_fleet_survives_the_round_trip():
    fleet = pool({"llama": {**LLAMA, "placements": PLACEMENTS}})
    again = ExpertPool.from_mapping(fleet.to_mapping())
    assert again.to_mapping() == fleet.to_mapping()
    assert again.fingerprint() == fleet.fingerprint()
    assert again.box.tolist() == fleet.box.tolist()


def test_adapters_share_weights_and_runtime_of_their_base():
    small = {**LLAMA, "params_b": 1.0, "device": "orin", "base": "llama", "adapter_gb": 0.1}
    shared = pool(
        {
            "maths": small,
            "words": small,
            "elsewhere": {**small, "device": "box"},
            "alone": {**small, "base": ""},
        }
    )
    weights, cache = 1.0, 2 * 32 * 8 * 128 * 2 * 4096 / 1e9
    np.testing.assert_allclose(shared.memory_gb, [0.1 + cache] * 3 + [weights + 0.5 + 0.1 + cache])
    assert shared.memory_group.tolist() == [0, 0, 1, -1]
    np.testing.assert_allclose(shared.group_gb, [weights + 0.5] * 2)


@pytest.mark.parametrize(
    ("experts", "message"),
    [
        (
            {"llama": {**LLAMA, "placements": {"low": {"device": "orin", "mode": "16W"}}}},
            "did you mean '15W'",
        ),
        (
            {"llama": {**LLAMA, "placements": {"low": {"device": "orinn"}}}},
            "device of expert 'llama@low' 'orinn': did you mean 'orin'",
        ),
        ({"llama": {**LLAMA, "placements": {"low": {"device": "orin", "bit": 4}}}}, "did you mean 'bits'"),
        ({"llama": {**LLAMA, "placements": {"low": {}}}}, "expert 'llama@low' lacks device"),
        (
            {
                "maths": {**LLAMA, "device": "orin", "base": "llama"},
                "words": {**LLAMA, "device": "orin", "base": "llama", "bits": 4.0},
            },
            "adapters of 'llama' on 'orin' disagree on its size: 4.5 GB and 8.5 GB",
        ),
        (
            {"a": {**LLAMA, "device": "orin", "params_b": 40.0}, "b": {**LLAMA, "device": "nowhere"}},
            "'a' needs 41.0 GB .*; .*'nowhere'",
        ),
    ],
)
def test_what_a_placement_cannot_be(experts, message):
    with pytest.raises(MoE2Error, match=message):
        pool(experts)
